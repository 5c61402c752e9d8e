/**
 * Base32 of RFC 4648, lower case, no padding: the text form of CIDs (multibase `b`).
 * Works on latin1 strings (one character per byte), the form CIDs have in this project.
 * Does not know what the bytes mean.
 * @thread any
 */
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const VALUES = new Map([...ALPHABET].map((char, value) => [char, value]));

/** Base32 of a latin1 string. */
export function base32Encode(latin1: string): string {
  let text = '';
  let bits = 0;
  let pending = 0;
  for (let i = 0; i < latin1.length; i++) {
    pending = (pending << 8) | latin1.charCodeAt(i);
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET.charAt((pending >> bits) & 31);
    }
    pending &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + ALPHABET.charAt((pending << (5 - bits)) & 31);
}

/** The latin1 string, or undefined where the text is no canonical base32 (left-over bits set). */
export function base32Decode(text: string): string | undefined {
  let latin1 = '';
  let bits = 0;
  let pending = 0;
  for (const char of text) {
    const value = VALUES.get(char);
    if (value === undefined) return undefined;
    pending = (pending << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      latin1 += String.fromCharCode((pending >> bits) & 255);
      pending &= (1 << bits) - 1;
    }
  }
  return bits < 5 && pending === 0 ? latin1 : undefined;
}
