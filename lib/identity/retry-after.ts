/**
 * The Retry-After header as a number (B10). Pure. Also for refused websocket upgrades.
 * @thread any
 */
import { DAY_MS, type EpochMs, HOUR_MS, SECOND_MS } from '../base/units.ts';

const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec';
const HTTP_DATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/;

/**
 * Milliseconds to wait, within [1 s, 1 h], or undefined when the header is missing or malformed.
 * Takes seconds and the date form of RFC 9110. Digits are looked at first: read as a date, `7`
 * is a day in 2001.
 */
export function retryAfterMs(header: string | undefined, nowMs: EpochMs): number | undefined {
  if (header === undefined || header.length > 64) return undefined;
  const text = header.trim();
  if (/^\d+$/.test(text)) return clamp(Number(text) * SECOND_MS);
  const dateMs = httpDateMs(text);
  return dateMs === undefined ? undefined : clamp(dateMs - nowMs);
}

function clamp(delayMs: number): number {
  return Math.min(HOUR_MS, Math.max(SECOND_MS, delayMs));
}

function httpDateMs(text: string): number | undefined {
  const parts = HTTP_DATE.exec(text);
  if (parts === null) return undefined;
  const monthIndex = MONTHS.indexOf(parts[2] ?? '?');
  if (monthIndex < 0 || monthIndex % 3 !== 0) return undefined;
  const days = daysSince1970(Number(parts[3]), monthIndex / 3 + 1, Number(parts[1]));
  const seconds = Number(parts[4]) * 3600 + Number(parts[5]) * 60 + Number(parts[6]);
  return days * DAY_MS + seconds * SECOND_MS;
}

/** Gregorian calendar; years are counted from March so that the leap day comes last. */
function daysSince1970(year: number, month: number, day: number): number {
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const leapDays = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  return era * 146_097 + yearOfEra * 365 + leapDays + dayOfYear - 719_468;
}
