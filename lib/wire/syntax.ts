/**
 * Syntax of the texts inside an event, byte by byte: TID, datetime and handle of the lexicon.
 * A lexicon-checking consumer refuses a frame in which one of them is wrong, so what we emit must
 * have them right. DIDs and paths are judged elsewhere: they have verdicts of their own.
 * @thread any
 */
import { byteAt } from './utf8.ts';

const TID_BYTES = 13;
/** The lexicon's datetime is at most this long; the shortest is `1985-04-12T23:20:50Z`. */
const DATETIME_BYTES_MAX = 64;
const DATETIME_BYTES_MIN = 20;
const HANDLE_BYTES_MAX = 253;
const LABEL_BYTES_MAX = 63;

const DASH = 0x2d;
const DOT = 0x2e;
const COLON = 0x3a;
const PLUS = 0x2b;

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a;
}

/** `/^[2-7a-j][2-7a-z]{12}$/`: the top bit of a TID is 0 (CM-6). */
export function isTid(buf: Uint8Array, start: number, end: number): boolean {
  if (end - start !== TID_BYTES || byteAt(buf, start) > 0x6a) return false;
  for (let at = start; at < end; at++) {
    const byte = byteAt(buf, at);
    if (!((byte >= 0x61 && byte <= 0x7a) || (byte >= 0x32 && byte <= 0x37))) return false;
  }
  return true;
}

/** The number of two digits at `at`, or -1. */
function twoDigits(buf: Uint8Array, at: number): number {
  const tens = byteAt(buf, at);
  const ones = byteAt(buf, at + 1);
  return isDigit(tens) && isDigit(ones) ? (tens - 0x30) * 10 + ones - 0x30 : -1;
}

function daysIn(month: number, year: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** `YYYY-MM-DD` at `at`: a day that exists. */
function isDate(buf: Uint8Array, at: number): boolean {
  const century = twoDigits(buf, at);
  const yearOfCentury = twoDigits(buf, at + 2);
  if (century < 0 || yearOfCentury < 0) return false;
  if (byteAt(buf, at + 4) !== DASH || byteAt(buf, at + 7) !== DASH) return false;
  const month = twoDigits(buf, at + 5);
  const day = twoDigits(buf, at + 8);
  if (month < 1 || month > 12) return false;
  return day >= 1 && day <= daysIn(month, century * 100 + yearOfCentury);
}

/** `HH:MM:SS` at `at`. */
function isTimeOfDay(buf: Uint8Array, at: number): boolean {
  if (byteAt(buf, at + 2) !== COLON || byteAt(buf, at + 5) !== COLON) return false;
  const hour = twoDigits(buf, at);
  const minute = twoDigits(buf, at + 3);
  const second = twoDigits(buf, at + 6);
  return hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60;
}

/** `Z`, `+HH:MM` or `-HH:MM` as all of [at, end); `-00:00` says "unknown" and is refused. */
function isOffset(buf: Uint8Array, at: number, end: number): boolean {
  const sign = byteAt(buf, at);
  if (sign === 0x5a) return end - at === 1;
  if ((sign !== PLUS && sign !== DASH) || end - at !== 6 || byteAt(buf, at + 3) !== COLON) {
    return false;
  }
  const hour = twoDigits(buf, at + 1);
  const minute = twoDigits(buf, at + 4);
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return false;
  return sign === PLUS || hour > 0 || minute > 0;
}

/**
 * The lexicon's `datetime`: what RFC 3339 and ISO 8601 have in common, capital `T` and `Z`, whole
 * seconds at least, any fraction, a zone, at most 64 bytes (H51).
 */
export function isDatetime(buf: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  if (length < DATETIME_BYTES_MIN || length > DATETIME_BYTES_MAX) return false;
  if (byteAt(buf, start + 10) !== 0x54) return false;
  if (!isDate(buf, start) || !isTimeOfDay(buf, start + 11)) return false;
  let at = start + 19;
  if (byteAt(buf, at) === DOT) {
    const fraction = at + 1;
    at = fraction;
    while (at < end && isDigit(byteAt(buf, at))) at += 1;
    if (at === fraction || at === end) return false;
  }
  return isOffset(buf, at, end) && !isBeforeYearZero(buf, start, at);
}

/** A time in the first day of year 0000 with a `+` zone would be a negative year in UTC. */
function isBeforeYearZero(buf: Uint8Array, start: number, zoneAt: number): boolean {
  if (byteAt(buf, zoneAt) !== PLUS) return false;
  for (const at of [0, 2]) if (twoDigits(buf, start + at) !== 0) return false;
  if (twoDigits(buf, start + 5) !== 1 || twoDigits(buf, start + 8) !== 1) return false;
  const localMinutes = twoDigits(buf, start + 11) * 60 + twoDigits(buf, start + 14);
  return localMinutes < twoDigits(buf, zoneAt + 1) * 60 + twoDigits(buf, zoneAt + 4);
}

/** Two or more DNS labels, the last one starting with a letter, at most 253 bytes. */
export function isHandle(buf: Uint8Array, start: number, end: number): boolean {
  if (end - start > HANDLE_BYTES_MAX) return false;
  let labelCount = 0;
  let labelStart = start;
  for (let at = start; at <= end; at++) {
    if (at < end && byteAt(buf, at) !== DOT) continue;
    if (!isLabel(buf, labelStart, at)) return false;
    if (at === end && !isLetter(byteAt(buf, labelStart))) return false;
    labelCount += 1;
    labelStart = at + 1;
  }
  return labelCount >= 2;
}

function isLabel(buf: Uint8Array, start: number, end: number): boolean {
  if (start >= end || end - start > LABEL_BYTES_MAX) return false;
  if (byteAt(buf, start) === DASH || byteAt(buf, end - 1) === DASH) return false;
  for (let at = start; at < end; at++) {
    const byte = byteAt(buf, at);
    if (!isLetter(byte) && !isDigit(byte) && byte !== DASH) return false;
  }
  return true;
}
