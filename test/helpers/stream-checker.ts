/**
 * THE checker: what each host sent, what each consumer got, what the log replays. It knows the
 * contract and nothing of how a run was disturbed.
 */
import type { SentFrame } from '../../scripts/fleet/fleet-host.ts';
import { describeFrame, type Received } from './recording-consumer.ts';

export type Checked = { readonly problems: string[]; readonly expected: number };

/**
 * Every frame that the hosts sent arrives exactly once, unchanged but for `seq` (G9), in the order
 * of its account (G3), with contiguous seqs (G1).
 */
export function checkStream(
  sent: readonly (readonly SentFrame[])[],
  received: readonly Received[],
): Checked {
  const problems: string[] = [];
  const expected = new Map<string, number>();
  const orderOf = new Map<string, string[]>();
  let count = 0;
  for (const frames of sent) {
    for (const frame of frames) {
      const { did, digest } = describeFrame(frame.bytes);
      expected.set(digest, (expected.get(digest) ?? 0) + 1);
      append(orderOf, did, digest);
      count += 1;
    }
  }
  const gotOrder = new Map<string, string[]>();
  for (const [index, got] of received.entries()) {
    const left = expected.get(got.digest) ?? 0;
    if (left === 0) problems.push(`seq ${got.seq} was sent by nobody, or came twice (${got.did})`);
    else expected.set(got.digest, left - 1);
    append(gotOrder, got.did, got.digest);
    const before = received[index - 1];
    if (before !== undefined && got.seq !== before.seq + 1) {
      problems.push(`seq ${got.seq} follows ${before.seq}`);
    }
  }
  const missing = [...expected.values()].reduce((sum, left) => sum + left, 0);
  if (missing > 0) {
    problems.push(`${missing} of ${count} frames never arrived${whichOf(sent, expected)}`);
  }
  for (const [did, order] of orderOf) {
    const got = gotOrder.get(did) ?? [];
    if (missing === 0 && order.join() !== got.join()) problems.push(`order of ${did} changed`);
  }
  return { problems: problems.slice(0, 20), expected: count };
}

/** For each host with missing frames: how many, and the seqs of the first and the last. */
function whichOf(
  sent: readonly (readonly SentFrame[])[],
  left: ReadonlyMap<string, number>,
): string {
  let text = '';
  for (const [index, frames] of sent.entries()) {
    const isLeft = ({ bytes }: SentFrame): boolean =>
      (left.get(describeFrame(bytes).digest) ?? 0) > 0;
    const missing = frames.filter(isLeft);
    if (missing.length === 0) continue;
    const dids = new Set(missing.map(({ did }) => did)).size;
    const [first, last] = [missing[0]?.seq, missing.at(-1)?.seq];
    const sentTo = frames.at(-1)?.seq;
    text += `; host ${index}: ${missing.length} of ${dids} accounts in ${first}-${last} (to ${sentTo})`;
  }
  return text;
}

/** What two consumers got has the same bytes at the same seq (G1, G2). */
export function checkSame(a: readonly Received[], b: readonly Received[]): string[] {
  const problems: string[] = [];
  const digests = new Map(a.map((got) => [got.seq, got.bytesDigest]));
  for (const got of b) {
    const other = digests.get(got.seq);
    if (other !== undefined && other !== got.bytesDigest) {
      problems.push(`seq ${got.seq} names two byte strings`);
    }
  }
  return problems.slice(0, 20);
}

function append(map: Map<string, string[]>, key: string, value: string): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** Waits until `condition` holds; false after `msMax`. */
export async function eventually(condition: () => boolean, msMax: number): Promise<boolean> {
  const endMs = performance.now() + msMax;
  while (!condition()) {
    if (performance.now() > endMs) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}
