/**
 * The disagreements between our verdict and a judge's that are meant to be. Each class is told by
 * what stands in the input: mended, or judged without the point in question, it gets our verdict
 * from the judge as well. Anything else that differs is a fault, ours or the judge's.
 */

import { cidText } from '../../lib/repo/cid.ts';
import {
  anatomyOf,
  carOf,
  fieldOf,
  hasKey,
  isWellFormed,
  recordsOf,
  sortedEnvelope,
  textsOf,
} from './anatomy.ts';
import type { FuzzInput } from './input.ts';
import type { Verdict } from './judge.ts';
import { limitsExceeded } from './limits-exceeded.ts';

/** The judge once more, with the input mended or with less of an eye on records. */
export type AskAgain = (input: FuzzInput, areRecordsRead: boolean) => Promise<Verdict>;

export type Disagreement = {
  readonly input: FuzzInput;
  /** `pass` or our reject code. */
  readonly ours: string;
  readonly theirs: Verdict;
  readonly library: string;
  readonly again: AskAgain;
  /** The judge with the other library. */
  readonly other: AskAgain;
};

export type ExplainedClass = {
  readonly name: string;
  /** Rules of the specification, or rows of its tables. */
  readonly rules: string;
  readonly why: string;
  readonly explains: (disagreement: Disagreement) => Promise<boolean>;
};

/** The frame sorted; undefined where that changes nothing or cannot be done. */
function mended(input: FuzzInput): FuzzInput | undefined {
  const frame = sortedEnvelope(input.frame);
  return frame === undefined || frame.equals(input.frame) ? undefined : { ...input, frame };
}

function areRecordsCbor({ frame }: FuzzInput): boolean {
  return recordsOf(frame).every(isWellFormed);
}

/** What a judge says with all that put aside which we let through. */
function verdictMended(input: FuzzInput, ask: AskAgain): Promise<Verdict> {
  return ask(mended(input) ?? input, !areRecordsCbor(input));
}

async function isPassedMended(input: FuzzInput, ask: AskAgain): Promise<boolean> {
  return (await verdictMended(input, ask)).isPass;
}

/** Where only @atproto refuses what we pass, and for this reason. */
function ofAtproto(
  name: string,
  rules: string,
  why: string,
  isSeen: (frame: Buffer) => boolean,
): ExplainedClass {
  return {
    name,
    rules,
    why,
    explains: async ({ input, ours, library, other }) => {
      if (ours !== 'pass' || library !== '@atproto' || !isSeen(input.frame)) return false;
      return isPassedMended(input, other);
    },
  };
}

export const EXPLAINED: readonly ExplainedClass[] = [
  {
    name: 'envelope out of order',
    rules: 'A25, H20',
    why: 'keys of header, payload and operations are not signed; they are sorted before we send',
    explains: async ({ input, ours, again }) => {
      const sortedInput = mended(input);
      if (ours !== 'pass' || sortedInput === undefined) return false;
      return (await again(sortedInput, true)).isPass;
    },
  },
  {
    name: 'record is CBOR, but no DRISL',
    rules: 'H121, H122, §1.16',
    why: 'a relay does not judge records; only what is no CBOR at all is refused',
    explains: async ({ input, ours, again }) => {
      if (ours !== 'pass' || !areRecordsCbor(input)) return false;
      return (await again(input, false)).isPass;
    },
  },
  {
    name: 'both of the above',
    rules: 'A25, H121',
    why: 'as above',
    explains: async ({ input, ours, again }) => {
      if (ours !== 'pass' || mended(input) === undefined || !areRecordsCbor(input)) return false;
      return isPassedMended(input, again);
    },
  },
  {
    name: 'beyond a limit of ours',
    rules: 'LM-10, CB-11, CA-3',
    why: 'the specification wants limits on depth, items, keys and blocks and leaves them to us',
    explains: async ({ input, ours, theirs }) =>
      ours !== 'pass' && theirs.isPass && limitsExceeded(input.frame).length > 0,
  },
  {
    name: '@atcute wants to see the tree before',
    rules: '§1.10 step 9',
    why: 'where undoing leaves one link only, its CID is the answer, and nobody has to send its node',
    explains: async ({ input, ours, library, again, other }) => {
      if (library !== '@atcute' || ours !== 'pass') return false;
      const { detail } = await verdictMended(input, again);
      const prevData = linkOf(input.frame, 'prevData');
      // The one node that it misses is the very one whose CID is asked for.
      const isMissed = detail.includes(`missing block in store; cid=${cidText(prevData)};`);
      const isSent = carOf(input.frame)?.blocks.some(({ cid }) => cid === prevData) ?? false;
      return isMissed && !isSent && isPassedMended(input, other);
    },
  },
  ofAtproto(
    '@atproto loses a field __proto__',
    'CB-13, H30',
    'its decoder assigns it as a prototype: what it writes again is not what it read',
    (frame) => strictItems(frame).some((item) => hasKey(item, '__proto__')),
  ),
  ofAtproto(
    '@atproto loses a byte-order mark',
    'CB-8',
    'its decoder drops U+FEFF at the start of a text: what it writes again is not what it read',
    (frame) => strictItems(frame).some((item) => textsOf(item).some(isMarked)),
  ),
  {
    name: '@atproto takes days that no month has',
    rules: 'A38, H51',
    why: 'it asks only whether JavaScript makes a date of the time, and 30 February is 2 March',
    explains: async ({ input, ours, library, other }) => {
      if (library !== '@atproto' || ours !== 'wire_time_bad') return false;
      return isOverflowingDay(timeOf(input.frame)) && (await other(input, true)).rule === 'A38';
    },
  },
];

/** What a judge has to write again: header, payload, CAR header, commit object. */
function strictItems(frame: Buffer): Buffer[] {
  const parts = anatomyOf(frame);
  const car = carOf(frame);
  const items = parts === undefined ? [] : [parts.header, parts.payload];
  const bytes = items.map(({ start, end }) => frame.subarray(start, end));
  if (car !== undefined) bytes.push(car.header, ...car.blocks.map((block) => block.bytes));
  return bytes;
}

function isMarked(text: Buffer): boolean {
  return text.length >= 3 && text.readUIntBE(0, 3) === 0xefbbbf;
}

function timeOf(frame: Buffer): string {
  const payload = anatomyOf(frame)?.payload;
  const time = payload && fieldOf(frame, payload, 'time');
  return time === undefined ? '' : frame.toString('utf8', time.headEnd, time.end);
}

/** The CID that a field of the payload links to; '' where it is no link. */
function linkOf(frame: Buffer, name: string): string {
  const payload = anatomyOf(frame)?.payload;
  const item = payload && fieldOf(frame, payload, name);
  return item === undefined
    ? ''
    : frame.toString('latin1', Math.max(item.start, item.end - 36), item.end);
}

function isOverflowingDay(time: string): boolean {
  const day = /^\d{4}-\d\d-\d\d(?=T)/.exec(time)?.[0] ?? '';
  const date = new Date(`${day}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && !date.toISOString().startsWith(day);
}

/** The class of a disagreement; undefined where nothing explains it. */
export async function explain(disagreement: Disagreement): Promise<ExplainedClass | undefined> {
  for (const each of EXPLAINED) if (await each.explains(disagreement)) return each;
  return undefined;
}
