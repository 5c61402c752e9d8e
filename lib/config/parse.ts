/**
 * From the text of an environment variable to a value, one function per kind. Strict: what is not
 * understood whole is refused, never guessed at. Pure.
 * @thread any
 */
import { DAY_MS, GiB, HOUR_MS, KiB, MINUTE_MS, MiB, SECOND_MS } from '../base/units.ts';

/** A value, or what was expected instead, as the end of a sentence. */
export type Parsed<T> = { readonly value: T } | { readonly expected: string };
/** Where to listen; an empty host means every interface, port 0 any free port. */
export type ListenAddress = { readonly host: string; readonly port: number };

const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', SECOND_MS],
  ['m', MINUTE_MS],
  ['h', HOUR_MS],
  ['d', DAY_MS],
]);
const BYTE_UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['B', 1],
  ['kB', 1e3],
  ['MB', 1e6],
  ['GB', 1e9],
  ['TB', 1e12],
  ['KiB', KiB],
  ['MiB', MiB],
  ['GiB', GiB],
  ['TiB', 1024 * GiB],
]);

const DURATION = /^(?:\d{1,9}(?:\.\d{1,6})?(?:ms|s|m|h|d)){1,5}$/;
const DURATION_PART = /(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)/g;

/** `72h`, `1h30m`, `500ms`; a bare number has no unit and is refused, except 0. */
export function parseDuration(text: string): Parsed<number> {
  const expected = 'a duration such as 500ms, 30s, 10m, 72h or 7d';
  if (text === '0') return { value: 0 };
  if (!DURATION.test(text)) return { expected };
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(DURATION_PART)) {
    ms += Number(amount) * (DURATION_UNITS.get(unit ?? '') ?? Number.NaN);
  }
  return Number.isSafeInteger(ms) ? { value: ms } : { expected };
}

/** `256MiB`, `5MB` (decimal), or a plain number of bytes. */
export function parseBytes(text: string): Parsed<number> {
  const expected = 'a size such as 64KiB, 256MiB, 10GiB or a number of bytes';
  const match = /^(\d{1,15}) ?([A-Za-z]{0,3})$/.exec(text);
  const bytes = Number(match?.[1]) * (BYTE_UNITS.get(match?.[2] ?? '') ?? Number.NaN);
  return Number.isSafeInteger(bytes) ? { value: bytes } : { expected };
}

export function parseCount(text: string): Parsed<number> {
  const value = Number(text.replaceAll('_', ''));
  const isWhole = /^\d[\d_]{0,19}$/.test(text) && Number.isSafeInteger(value);
  return isWhole ? { value } : { expected: 'a whole number' };
}

export function parseFlag(text: string): Parsed<boolean> {
  if (/^(?:true|1|yes|on)$/i.test(text)) return { value: true };
  if (/^(?:false|0|no|off)$/i.test(text)) return { value: false };
  return { expected: 'true or false' };
}

/** `:2470`, `127.0.0.1:0`, `[::1]:2470`. */
export function parseListen(text: string): Parsed<ListenAddress> {
  const match = /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9.-]{0,253}):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    return { expected: 'an address such as :2470, 127.0.0.1:2470 or [::1]:2470' };
  }
  return { value: { host: (match[1] ?? '').replaceAll(/[[\]]/g, ''), port } };
}

/** An http or https origin without path, query or credentials; the trailing slash is dropped. */
export function parseOrigin(text: string): Parsed<string> {
  const expected = 'an origin such as https://plc.directory';
  if (!URL.canParse(text)) return { expected };
  const url = new URL(text);
  const isHttp = url.protocol === 'https:' || url.protocol === 'http:';
  const isBare = url.pathname === '/' && url.search === '' && url.hash === '';
  const isAnonymous = url.username === '' && url.password === '';
  return isHttp && isBare && isAnonymous ? { value: url.origin } : { expected };
}

export function parseDatabaseUrl(text: string): Parsed<string> {
  const isPostgres = /^postgres(?:ql)?:\/\//.test(text) && URL.canParse(text);
  return isPostgres ? { value: text } : { expected: 'a URL of the form postgres://…' };
}

/** Comma-separated; blanks around items and empty items are dropped. */
export function parseList(text: string): Parsed<readonly string[]> {
  const items = text.split(/[,\n]/).map((item) => item.trim());
  return { value: items.filter((item) => item !== '') };
}

export function parseText(text: string): Parsed<string> {
  return text.includes('\0') ? { expected: 'text without a NUL' } : { value: text };
}

/** The shortest way to write a duration that parses back to the same value. */
export function formatDuration(ms: number): string {
  const units = [...DURATION_UNITS].reverse();
  const unit = units.find(([, unitMs]) => ms >= unitMs && ms % unitMs === 0);
  return unit === undefined ? `${ms}` : `${ms / unit[1]}${unit[0]}`;
}

/** The shortest way to write a size in binary units that parses back to the same value. */
export function formatBytes(bytes: number): string {
  const units = [...BYTE_UNITS].filter(([name]) => name.endsWith('iB')).reverse();
  const unit = units.find(([, size]) => bytes >= size && bytes % size === 0);
  return unit === undefined ? `${bytes}` : `${bytes / unit[1]}${unit[0]}`;
}

export function formatListen(address: ListenAddress): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}
