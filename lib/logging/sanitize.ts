/**
 * What may stand in a log line: secrets are masked, long values cut, deep ones flattened. Fields
 * often come from strangers (host names, close reasons, error texts), so every bound is hard.
 * @thread any
 */
export const FIELD_CHARS_MAX = 256;
const STACK_CHARS_MAX = 1200;
const DEPTH_MAX = 3;
const ITEMS_MAX = 32;
const MASK = '[redacted]';

/** Names of fields whose value never appears in a log. */
const SECRET_NAME = /passw|secret|token|authorization|cookie|database_?url|connection_?string/i;
/** `scheme://user:password@host`: the part between slashes and `@`. */
const URL_CREDENTIALS = /(\b[a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/@]{1,512}@/gi;

export function sanitizeText(text: string, charsMax = FIELD_CHARS_MAX): string {
  // Cut before matching: the pattern never runs over more than this.
  const head = text.length > charsMax ? text.slice(0, charsMax + 512) : text;
  const masked = head.replace(URL_CREDENTIALS, `$1${MASK}@`);
  if (masked.length <= charsMax && head.length === text.length) return masked;
  return `${masked.slice(0, charsMax)}…(${text.length} chars)`;
}

/** A copy of `fields` that is safe to serialise; the given object is not changed. */
export function sanitizeFields(fields: object): Record<string, unknown> {
  if (fields instanceof Error) return { err: sanitizeError(fields, 0) };
  return sanitizeRecord(fields, 0);
}

function sanitizeRecord(record: object, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  const names = Object.keys(record);
  for (const name of names.slice(0, ITEMS_MAX)) {
    const key = sanitizeText(name, 64);
    const value: unknown = Reflect.get(record, name);
    out[key] = SECRET_NAME.test(name) ? MASK : sanitizeValue(value, depth + 1);
  }
  if (names.length > ITEMS_MAX) out['…'] = `${names.length - ITEMS_MAX} more`;
  return out;
}

function sanitizeValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return sanitizeText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'function' || typeof value === 'symbol') return `[${typeof value}]`;
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return sanitizeError(value, depth);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof URL) return sanitizeText(value.href);
  if (depth > DEPTH_MAX) return Array.isArray(value) ? '[array]' : '[object]';
  if (!Array.isArray(value)) return sanitizeRecord(value, depth);
  const items = value.slice(0, ITEMS_MAX).map((item) => sanitizeValue(item, depth + 1));
  return value.length > ITEMS_MAX ? [...items, `${value.length - ITEMS_MAX} more`] : items;
}

function sanitizeError(error: Error, depth: number): Record<string, unknown> {
  const code: unknown = Reflect.get(error, 'code');
  return {
    type: sanitizeText(error.name),
    message: sanitizeText(error.message),
    ...(code === undefined ? {} : { code: sanitizeText(String(code), 64) }),
    ...(error.stack === undefined ? {} : { stack: sanitizeText(error.stack, STACK_CHARS_MAX) }),
    ...(error.cause === undefined || depth >= DEPTH_MAX
      ? {}
      : { cause: sanitizeValue(error.cause, depth + 1) }),
  };
}
