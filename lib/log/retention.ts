/**
 * Which sealed segments may go. Pure: facts in, a count out.
 * Whole segments, oldest first, never the active one, never beyond the checkpoint: recovery needs
 * what comes after it.
 *
 * Age is judged by the newest record of a segment. A wall clock that jumps ahead makes everything
 * look old; so by age a pass removes what has come of age in the time that really passed since the
 * last one, and at most one segment more (G21). After a long stop the backlog goes one by one.
 * @thread any
 */
import type { SealedSegment } from './writer.ts';

export type RetentionPolicy = {
  readonly ageMsMax: number;
  /** Of all segments, the active one included; 0 for no limit. */
  readonly bytesMax: number;
  /** On a full disk sealed segments go even inside the window: events are worth more than past. */
  readonly isEarlyWhenFull?: boolean;
};

export type RetentionFacts = {
  /** Oldest first. */
  readonly sealed: readonly SealedSegment[];
  readonly activeBytes: number;
  /** Highest seq whose state is in PostgreSQL. */
  readonly checkpointSeq: number;
  readonly epochMs: number;
  /** Monotonic time since the last pass; 0 at the first. */
  readonly elapsedMs: number;
  /** `cutoffMs` of the last pass; undefined at the first. */
  readonly cutoffMs: number | undefined;
  /** Nothing can be appended for want of room. */
  readonly isDiskFull?: boolean;
};

export type RetentionDecision = {
  readonly removeCount: number;
  readonly removedBytes: number;
  /** How many of them would still have been kept, had there been room. */
  readonly earlyCount: number;
  /** Records up to this time count as old; given to the next pass. */
  readonly cutoffMs: number | undefined;
};

export function decideRetention(policy: RetentionPolicy, facts: RetentionFacts): RetentionDecision {
  const { sealed, checkpointSeq } = facts;
  const wallCutoffMs = facts.epochMs - policy.ageMsMax;
  const steadyCutoffMs =
    facts.cutoffMs === undefined ? undefined : facts.cutoffMs + facts.elapsedMs;
  let retainedBytes = sealed.reduce((sum, segment) => sum + segment.bytes, facts.activeBytes);
  let removeCount = 0;
  let removedBytes = 0;
  let extraLeft = 1;
  let cutoffMs = steadyCutoffMs;
  let earlyCount = 0;
  const isEmergency = policy.isEarlyWhenFull === true && facts.isDiskFull === true;
  for (const segment of sealed) {
    if (segment.lastSeq > checkpointSeq) break;
    const isOverBytes = policy.bytesMax > 0 && retainedBytes > policy.bytesMax;
    let isDue = isOverBytes;
    if (!isOverBytes && segment.newestMs <= wallCutoffMs) {
      const hasComeOfAge = steadyCutoffMs !== undefined && segment.newestMs <= steadyCutoffMs;
      isDue = hasComeOfAge || extraLeft > 0;
      if (!hasComeOfAge && isDue) extraLeft--;
    }
    // One in a pass, and only where nothing goes by itself: it may be enough.
    const isEarly = !isDue && isEmergency && removeCount === 0;
    if (!isDue && !isEarly) break;
    if (isEarly) earlyCount++;
    removeCount++;
    removedBytes += segment.bytes;
    retainedBytes -= segment.bytes;
    const isByAge = !isOverBytes && !isEarly;
    if (isByAge) cutoffMs = Math.max(cutoffMs ?? 0, segment.newestMs);
  }
  return { removeCount, removedBytes, earlyCount, cutoffMs };
}
