/**
 * A second verdict on a frame, made of the specification's rules as we read them (spec §1, §5) and
 * of a library that is not ours: decoder, encoder, CAR reader, signatures and tree edits are the
 * library's. Written apart from `lib/`, for clearness and not for speed, so that the two check
 * each other. Knows nothing of what our verifier said.
 */
import { NOW_MS } from './bases.ts';
import type { AccountKey, FuzzInput } from './input.ts';
import { openCommit } from './judge-commit.ts';
import { checkDid, commitMessage, type Message, messageOf } from './judge-message.ts';
import { checkTree } from './judge-tree.ts';
import type { Library } from './library.ts';
import { Refusal, refuseUnless } from './refusal.ts';

/** `pass`, or the broken rule and what was seen of it. */
export type Verdict = {
  readonly isPass: boolean;
  readonly rule: string;
  readonly detail: string;
};

export type JudgeOptions = {
  /** Answers for a signature over a message; asks the library, or remembers. */
  readonly verify: (
    key: AccountKey,
    message: Uint8Array,
    signature: Uint8Array,
  ) => boolean | Promise<boolean>;
  /** False: takes records that are there, whatever they are. */
  readonly areRecordsRead: boolean;
};

const REV_AHEAD_MS_MAX = 5 * 60_000;
const TID_CHARS = '234567abcdefghijklmnopqrstuvwxyz';

/** What the rules say of an input, with this library. Throws only where the judge is wrong. */
export async function judge(
  library: Library,
  input: FuzzInput,
  options: JudgeOptions,
): Promise<Verdict> {
  try {
    const message = messageOf(library, input.frame);
    checkDid(library, message.did);
    if (message.kind === '#commit') await checkCommit(library, message, input, options);
    if (message.kind === '#sync') await checkSync(library, message, input, options);
    return { isPass: true, rule: 'pass', detail: '' };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { isPass: false, rule: error.rule, detail: error.detail };
  }
}

/** CH-2: no further ahead than a few minutes. */
function checkClock(rev: string): void {
  let micros = 0;
  for (const char of rev.slice(0, 11)) micros = micros * 32 + TID_CHARS.indexOf(char);
  refuseUnless(micros <= (NOW_MS + REV_AHEAD_MS_MAX) * 1000, 'CH-2', 'rev in the future');
}

async function checkCommit(
  library: Library,
  message: Message,
  input: FuzzInput,
  options: JudgeOptions,
): Promise<void> {
  const commit = commitMessage(library, message, input.isStrict);
  const { known } = input;
  checkClock(message.rev);
  refuseUnless(known === null || message.rev > known.rev, 'CH-1', 'rev not above the known one');
  const opened = await openCommit(library, message, input, options.verify);
  refuseUnless(opened.rootCid === commit.commitCid, 'CM-5', 'commit is not the first root');
  await checkTree({ library, commit, opened, known, ...options, isStrict: input.isStrict });
}

async function checkSync(
  library: Library,
  message: Message,
  input: FuzzInput,
  options: JudgeOptions,
): Promise<void> {
  const { known } = input;
  checkClock(message.rev);
  const { rootCid } = await openCommit(library, message, input, options.verify);
  const isRepeated = known !== null && message.rev === known.rev && rootCid === known.commitCid;
  // A18: a host says again what it said when an account comes back.
  const isNewer = known === null || message.rev > known.rev;
  refuseUnless(isNewer || isRepeated, 'SY-2', 'rev not above the known one');
}
