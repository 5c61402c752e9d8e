/**
 * A WebAssembly module that runs the compression of SHA-256 (FIPS 180-4 §6.2) over four blocks at
 * once, one per SIMD lane, and gives the first word of each digest. Written out here from the
 * standard's formulas, sixteen rounds as they come and then a loop of sixteen: all 64 in a row
 * would be slower, for they do not fit the processor's cache of instructions. `sha256-lanes.ts`
 * owns its use.
 *
 *   export `memory`: words 0 … 15 of the blocks, each for the lanes 0 1 2 3 │ the digest words │
 *                    the constants of the rounds
 *   export `run`: () → ()
 *
 * @thread any
 */
export const LANES = 4;
export const BLOCK_WORDS = 16;
/** Place of the digest words in the memory, counted in words. */
export const DIGEST_AT = BLOCK_WORDS * LANES;

/** Where the constants stand, in bytes. */
const CONSTANTS_AT = 4 * (DIGEST_AT + LANES);

const ROUNDS = 64;
const WORD_BYTES = 4;
const STATE_WORDS = 8;
const VECTOR_BYTES = 16;
const WORD_BITS = 32;

/** Locals: the last sixteen words of the message schedule, a … h, one for between, the loop's. */
const SCHEDULE = 0;
const STATE = SCHEDULE + BLOCK_WORDS;
const BETWEEN = STATE + STATE_WORDS;
const VECTOR_LOCALS = BETWEEN + 1;
/** Bytes of constants behind those of the rounds in the loop: counts up to the end of all. */
const CONSTANTS_DONE = VECTOR_LOCALS;

const LOCAL_GET = 0x20;
const LOCAL_SET = 0x21;
const LOCAL_TEE = 0x22;
const I32_CONST = 0x41;
const I32_ADD = 0x6a;
const I32_LESS_UNSIGNED = 0x49;
const LOOP = [0x03, 0x40];
const BRANCH_IF = 0x0d;
const END = 0x0b;
const V128 = 0x7b;
const I32 = 0x7f;
const LOAD = [0xfd, 0x00, 4];
const STORE = [0xfd, 0x0b, 4];
const LOAD_SPLAT = [0xfd, 0x09, 2];
const CONST = [0xfd, 0x0c];
const ADD = [0xfd, 0xae, 0x01];
const SHIFT_LEFT = [0xfd, 0xab, 0x01];
const SHIFT_RIGHT = [0xfd, 0xad, 0x01];
const XOR = [0xfd, 0x51];
/** Of three vectors: the bits of the first where the third has ones, else those of the second. */
const SELECT = [0xfd, 0x52];

type Code = readonly number[];

const PRIMES: number[] = [];
for (let n = 2; PRIMES.length < ROUNDS; n++) if (PRIMES.every((p) => n % p !== 0)) PRIMES.push(n);
/** The first 32 bits of the fractions of roots of the first primes (§4.2.2, §5.3.3). */
const fractionBits = (root: number): number => Math.floor((root % 1) * 2 ** WORD_BITS);
const ROUND_CONSTANTS = PRIMES.map((prime) => fractionBits(Math.cbrt(prime)));
const START = PRIMES.slice(0, STATE_WORDS).map((prime) => fractionBits(Math.sqrt(prime)));

const get = (local: number): Code => [LOCAL_GET, local];
const set = (local: number): Code => [LOCAL_SET, local];

/** An unsigned number as LEB128. */
function leb(value: number): Code {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >> 7)];
}

/** A constant i32 that is not negative: signed LEB128, which keeps a bit for the sign. */
function integer(value: number): Code {
  const bytes = (rest: number): Code => {
    return rest < 64 ? [rest] : [(rest & 127) | 128, ...bytes(rest >> 7)];
  };
  return [I32_CONST, ...bytes(value)];
}

/** The same word in every lane. */
function constant(word: number): Code {
  const bytes = [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24];
  return [...CONST, ...bytes, ...bytes, ...bytes, ...bytes];
}

/** The σ and Σ of the standard: a local rotated right by each amount, and shifted, all xored. */
function sigma(local: number, rotations: Code, shift: number): Code {
  const shifted = (bits: number, operator: Code): Code => {
    return [...get(local), I32_CONST, bits, ...operator];
  };
  const parts = rotations.flatMap((bits) => [
    shifted(bits, SHIFT_RIGHT),
    shifted(WORD_BITS - bits, SHIFT_LEFT),
  ]);
  if (shift > 0) parts.push(shifted(shift, SHIFT_RIGHT));
  return parts.flatMap((part, index) => (index === 0 ? part : [...part, ...XOR]));
}

const word = (round: number): number => SCHEDULE + (round % BLOCK_WORDS);

/** W of a round from 16 on, in place of the one sixteen rounds before. */
function scheduled(round: number): Code {
  return [
    ...get(word(round)),
    ...sigma(word(round + 1), [7, 18], 3),
    ...ADD,
    ...get(word(round + 9)),
    ...ADD,
    ...sigma(word(round + 14), [17, 19], 10),
    ...ADD,
    ...set(word(round)),
  ];
}

/** One round. Instead of moving a … h along, the locals change their names from round to round. */
function rounded(round: number): Code {
  const name = (letter: number): number => {
    return STATE + ((letter + STATE_WORDS * ROUNDS - round) % STATE_WORDS);
  };
  const [a, b, c, d] = [name(0), name(1), name(2), name(3)];
  const [e, f, g, h] = [name(4), name(5), name(6), name(7)];
  const choice = [...get(f), ...get(g), ...get(e), ...SELECT];
  // c where a and b differ, else b: the majority.
  const majority = [...get(c), ...get(b), ...get(a), ...get(b), ...XOR, ...SELECT];
  return [
    ...[...get(h), ...sigma(e, [6, 11, 25], 0), ...ADD, ...choice, ...ADD],
    ...[...get(CONSTANTS_DONE), ...LOAD_SPLAT, ...leb(CONSTANTS_AT + WORD_BYTES * round), ...ADD],
    ...[...get(word(round)), ...ADD, LOCAL_TEE, BETWEEN],
    ...[...get(d), ...ADD, ...set(d)],
    ...[...get(BETWEEN), ...sigma(a, [2, 13, 22], 0), ...ADD, ...majority, ...ADD, ...set(h)],
  ];
}

function body(): Code {
  const code: number[] = [];
  for (let index = 0; index < BLOCK_WORDS; index++) {
    code.push(I32_CONST, 0, ...LOAD, ...leb(index * VECTOR_BYTES), ...set(SCHEDULE + index));
  }
  for (const [index, start] of START.entries())
    code.push(...constant(start), ...set(STATE + index));
  for (let round = 0; round < BLOCK_WORDS; round++) code.push(...rounded(round));
  code.push(...LOOP, ...get(CONSTANTS_DONE), ...integer(BLOCK_WORDS * WORD_BYTES), I32_ADD);
  code.push(...set(CONSTANTS_DONE));
  for (let round = 0; round < BLOCK_WORDS; round++) {
    code.push(...scheduled(round), ...rounded(round));
  }
  code.push(
    ...get(CONSTANTS_DONE),
    ...integer((ROUNDS - BLOCK_WORDS) * WORD_BYTES),
    I32_LESS_UNSIGNED,
  );
  code.push(BRANCH_IF, 0, END);
  // After a multiple of eight rounds every local has its first name again.
  code.push(I32_CONST, 0, ...get(STATE), ...constant(START[0] as number), ...ADD);
  code.push(...STORE, ...leb(BLOCK_WORDS * VECTOR_BYTES), END);
  return code;
}

function section(id: number, content: Code): Code {
  return [id, ...leb(content.length), ...content];
}

function named(name: string, kind: number): Code {
  return [name.length, ...Buffer.from(name, 'latin1'), kind, 0];
}

/** The module's bytes. */
export function sha256Module(): Uint8Array<ArrayBuffer> {
  const run = [2, VECTOR_LOCALS, V128, 1, I32, ...body()];
  const constants = Buffer.from(Uint32Array.from(ROUND_CONSTANTS).buffer);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    // One type, () → (); one function of it; one page of memory; both exported.
    ...section(1, [1, 0x60, 0, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, ...named('memory', 2), ...named('run', 0)]),
    ...section(10, [1, ...leb(run.length), ...run]),
    ...section(11, [1, 0, ...integer(CONSTANTS_AT), END, ...leb(constants.length), ...constants]),
  ]);
}
