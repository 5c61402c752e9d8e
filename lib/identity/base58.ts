/**
 * Base58 with the Bitcoin alphabet, decoding only: DID documents write keys in it. Pure.
 * @thread any
 */
import { assert } from '../base/assert.ts';

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const DIGIT_OF = new Map([...ALPHABET].map((char, digit) => [char, digit]));

/**
 * The bytes, or undefined when `text` has a foreign character or more than `charsMax` characters.
 * The work grows with the square of the length, so the bound is not optional.
 */
export function decodeBase58(text: string, charsMax: number): Buffer | undefined {
  assert(charsMax <= 1024, 'base58 is quadratic: the bound is too wide');
  if (text.length > charsMax) return undefined;
  /** Little endian, without leading zeros. */
  const bytes: number[] = [];
  for (const char of text) {
    let carry = DIGIT_OF.get(char);
    if (carry === undefined) return undefined;
    for (const [index, byte] of bytes.entries()) {
      carry += byte * 58;
      bytes[index] = carry & 0xff;
      carry >>>= 8;
    }
    for (; carry > 0; carry >>>= 8) bytes.push(carry & 0xff);
  }
  const zeroCount = /^1*/.exec(text)?.[0].length ?? 0;
  return Buffer.from([...new Array<number>(zeroCount).fill(0), ...bytes.reverse()]);
}
