/**
 * Timestamp ids, the form of a repo's `rev` (CM-6): 13 characters of sortable base32, one zero
 * bit, 53 bits of microseconds, 10 bits of clock id. ASCII order is time order.
 * Does not know what time it is.
 * @thread any
 */
const TID = /^[2-7a-j][2-7a-z]{12}$/;
const TIME_CHARS = 11;

export function isTid(text: string): boolean {
  return TID.test(text);
}

/** Microseconds since 1970 of a valid TID: exact up to the year 2255, rounded above. */
export function tidMicros(tid: string): number {
  let micros = 0;
  for (let i = 0; i < TIME_CHARS; i++) {
    const char = tid.charCodeAt(i);
    // '2'…'7' are 0…5, 'a'…'z' are 6…31.
    micros = micros * 32 + (char <= 0x37 ? char - 0x32 : char - 0x61 + 6);
  }
  return micros;
}
