/**
 * One row of the table of settings and a constructor per kind: the row knows how to read, check,
 * print and document its value. Pure.
 * @thread any
 */
import {
  formatBytes,
  formatDuration,
  formatListen,
  type ListenAddress,
  type Parsed,
  parseBytes,
  parseCount,
  parseDatabaseUrl,
  parseDuration,
  parseFlag,
  parseList,
  parseListen,
  parseOrigin,
  parseText,
} from './parse.ts';

export type Row<T> = {
  readonly env: string;
  /** Other names accepted for it, those of the reference relay above all. */
  readonly aliases: readonly string[];
  /** As documented: `duration`, `bytes`, … */
  readonly kind: string;
  /** As documented, and as parsed where the variable is not set. */
  readonly defaultText: string;
  /** As documented, '' for none. */
  readonly rangeText: string;
  readonly doc: string;
  /** Never printed; can also be read from the file named by `<env>_FILE`. */
  readonly isSecret: boolean;
  readonly read: (text: string) => Parsed<T>;
  print(value: T): string;
  readonly fallback: () => T;
};

type Extra = { readonly aliases?: readonly string[]; readonly defaultText?: string };
type Range = readonly [min: number, max: number];

/** Makes a row whose default is a text that goes through the same parser as the variable. */
function row<T>(
  kind: string,
  env: string,
  defaultText: string,
  doc: string,
  read: (text: string) => Parsed<T>,
  print: (value: T) => string,
  extra: Extra & { readonly rangeText?: string; readonly isSecret?: boolean } = {},
): Row<T> {
  const fallback = (): T => {
    const parsed = read(defaultText);
    if ('value' in parsed) return parsed.value;
    throw new Error(`default of ${env} is not ${parsed.expected}`);
  };
  return {
    env,
    aliases: extra.aliases ?? [],
    kind,
    defaultText: extra.defaultText ?? defaultText,
    rangeText: extra.rangeText ?? '',
    doc,
    isSecret: extra.isSecret ?? false,
    read,
    print,
    fallback,
  };
}

function ranged(
  parse: (text: string) => Parsed<number>,
  print: (value: number) => string,
  [min, max]: Range,
): { read: (text: string) => Parsed<number>; rangeText: string } {
  const rangeText = `${print(min)} … ${print(max)}`;
  const read = (text: string): Parsed<number> => {
    const parsed = parse(text);
    if ('expected' in parsed) return { expected: `${parsed.expected}, ${rangeText}` };
    const isInside = parsed.value >= min && parsed.value <= max;
    return isInside ? parsed : { expected: `within ${rangeText}` };
  };
  return { read, rangeText };
}

export function duration(
  env: string,
  defaultText: string,
  range: Range,
  doc: string,
  extra: Extra = {},
): Row<number> {
  const { read, rangeText } = ranged(parseDuration, formatDuration, range);
  return row('duration', env, defaultText, doc, read, formatDuration, { ...extra, rangeText });
}

export function bytes(
  env: string,
  defaultText: string,
  range: Range,
  doc: string,
  extra: Extra = {},
): Row<number> {
  const { read, rangeText } = ranged(parseBytes, formatBytes, range);
  return row('bytes', env, defaultText, doc, read, formatBytes, { ...extra, rangeText });
}

export function count(
  env: string,
  defaultText: string,
  range: Range,
  doc: string,
  extra: Extra = {},
): Row<number> {
  const { read, rangeText } = ranged(parseCount, String, range);
  return row('count', env, defaultText, doc, read, String, { ...extra, rangeText });
}

export function flag(env: string, isOn: boolean, doc: string, extra: Extra = {}): Row<boolean> {
  return row('flag', env, String(isOn), doc, parseFlag, String, extra);
}

export function text(env: string, defaultText: string, doc: string, extra: Extra = {}) {
  return row('text', env, defaultText, doc, parseText, String, extra);
}

export function listen(
  env: string,
  defaultText: string,
  doc: string,
  extra: Extra = {},
): Row<ListenAddress> {
  return row('address', env, defaultText, doc, parseListen, formatListen, extra);
}

export function origin(env: string, defaultText: string, doc: string, extra: Extra = {}) {
  return row('origin', env, defaultText, doc, parseOrigin, String, extra);
}

export function list(env: string, defaultText: string, doc: string, extra: Extra = {}) {
  const print = (items: readonly string[]): string => items.join(',');
  return row('list', env, defaultText, doc, parseList, print, extra);
}

/** One of a few words. */
export function choice<const T extends string>(
  env: string,
  defaultText: T,
  words: readonly T[],
  doc: string,
  extra: Extra = {},
): Row<T> {
  const rangeText = words.join(', ');
  const read = (given: string): Parsed<T> => {
    const value = words.find((word) => word === given.toLowerCase());
    return value === undefined ? { expected: `one of ${rangeText}` } : { value };
  };
  return row('choice', env, defaultText, doc, read, String, { ...extra, rangeText });
}

/** Secrets of at least `charsMin` characters each; none by default. */
export function secrets(env: string, charsMin: number, doc: string, extra: Extra = {}) {
  const rangeText = `${charsMin} characters or more each`;
  const read = (given: string): Parsed<readonly string[]> => {
    const parsed = parseList(given);
    if ('expected' in parsed) return parsed;
    const isWeak = parsed.value.some((secret) => secret.length < charsMin);
    return isWeak ? { expected: `of ${rangeText}` } : parsed;
  };
  const print = (items: readonly string[]): string => items.map(() => '***').join(',');
  return row('secrets', env, '', doc, read, print, { ...extra, rangeText, isSecret: true });
}

/** The URL of a database; '' stands for the one we start ourselves. */
export function databaseUrl(env: string, doc: string): Row<string> {
  const read = (given: string): Parsed<string> =>
    given === '' ? { value: '' } : parseDatabaseUrl(given);
  const print = (url: string): string => (url === '' ? '' : maskedUrl(url));
  return row('url', env, '', doc, read, print, { isSecret: true });
}

function maskedUrl(given: string): string {
  const url = new URL(given);
  if (url.password !== '') url.password = '***';
  // libpq accepts the password as a parameter, too.
  if (url.searchParams.has('password')) url.searchParams.set('password', '***');
  return url.href;
}
