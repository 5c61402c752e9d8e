/**
 * Request bodies: small JSON objects, checked before they are parsed (S13). Values are read as own
 * properties only, so that no key of a stranger reaches a prototype (S39).
 * @thread main
 */

const DEPTH_MAX = 8;
const DECODER = new TextDecoder('utf-8', { fatal: true });

export class JsonBody {
  readonly #object: object;

  constructor(object: object) {
    this.#object = object;
  }

  /** A string member; undefined where it is absent or no string. */
  text(name: string): string | undefined {
    const value = this.#value(name);
    return typeof value === 'string' ? value : undefined;
  }

  flag(name: string): boolean | undefined {
    const value = this.#value(name);
    return typeof value === 'boolean' ? value : undefined;
  }

  /** A whole number in [min, max], null where it says null, undefined where it is neither. */
  wholeNumberOrNull(name: string, min: number, max: number): number | null | undefined {
    const value = this.#value(name);
    if (value === null) return null;
    const isFit =
      Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;
    return isFit ? (value as number) : undefined;
  }

  object(name: string): JsonBody | undefined {
    const value = this.#value(name);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? new JsonBody(value) : undefined;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#object, name);
  }

  names(): readonly string[] {
    return Object.keys(this.#object);
  }

  #value(name: string): unknown {
    return Object.getOwnPropertyDescriptor(this.#object, name)?.value;
  }
}

/** The body as an object, or what is wrong with it. Never throws. */
export function parseJsonBody(
  bytes: Buffer,
  contentType: string | undefined,
): JsonBody | { readonly fault: string } {
  const mediaType = contentType?.split(';', 1)[0]?.trim().toLowerCase();
  if (mediaType !== 'application/json') return { fault: 'the body must be application/json' };
  if (isTooDeep(bytes)) return { fault: 'the body is nested too deeply' };
  try {
    const value: unknown = JSON.parse(DECODER.decode(bytes));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return new JsonBody(value);
    }
    return { fault: 'the body must be a JSON object' };
  } catch {
    return { fault: 'the body is not valid JSON' };
  }
}

/** Counts brackets outside strings: cheaper than finding out by recursion. */
function isTooDeep(bytes: Buffer): boolean {
  let depth = 0;
  let isInString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (isInString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) isInString = false;
    } else if (byte === 0x22) isInString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > DEPTH_MAX) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return false;
}
