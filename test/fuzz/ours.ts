/**
 * Our own verdict on an input, from the bytes of the frame to the undone tree, as a verify thread
 * comes to it; and how long it took.
 */
import { didVerdict } from '../../lib/repo/did.ts';
import { verifyCommit } from '../../lib/verify/commit.ts';
import { initSignature } from '../../lib/verify/signature.ts';
import { RepoResult } from '../../lib/verify/signed.ts';
import { verifySync } from '../../lib/verify/sync.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_COMMIT, KIND_SYNC } from '../../lib/wire/kinds.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { NOW_MS } from './bases.ts';
import type { FuzzInput } from './input.ts';

await initSignature();

/** More CPU time than this for one input is a fault by itself. */
export const VERDICT_CPU_MS_MAX = 50;
const MEASUREMENTS = 4;

// One set for the whole run, as on a verify thread: nothing may be left over from frame to frame.
const peeked = new Peek();
const view = new EventView();
const result = new RepoResult();

/** `pass` or the reject code; `not an event` for what never comes to a verify thread. */
export function ourVerdict({ frame, key, known, isStrict }: FuzzInput): string {
  const kind = peek(frame, peeked);
  if (kind !== 'event') return kind === 'info' || kind === 'error' ? 'not an event' : kind;
  const fault = decodeEvent(frame, peeked.kind, view);
  if (fault !== undefined) return fault;
  const badDid = didVerdict(view.did, { isInsecure: false });
  if (badDid !== undefined) return badDid;
  if (view.kind !== KIND_COMMIT && view.kind !== KIND_SYNC) return 'pass';
  const verify = view.kind === KIND_COMMIT ? verifyCommit : verifySync;
  return verify(frame, view, { key, known, isStrict, epochMs: NOW_MS }, result) ?? 'pass';
}

/** The least CPU time, in ms, that it took in a few tries. */
export function cpuMs(work: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < MEASUREMENTS && least > VERDICT_CPU_MS_MAX; i++) {
    const before = process.threadCpuUsage();
    work();
    const { user, system } = process.threadCpuUsage(before);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}
