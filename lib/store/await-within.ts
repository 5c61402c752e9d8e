/**
 * Waiting for something that may never come, as the end of a connection to a frozen server.
 * @thread any
 */
import type { Clock } from '../base/clock.ts';

/** Resolves when `work` settles, but after `waitMs` at the latest. Never rejects. */
export async function awaitWithin(
  clock: Clock,
  waitMs: number,
  work: Promise<unknown>,
): Promise<void> {
  const settled = new AbortController();
  const onSettled = (): void => settled.abort();
  work.then(onSettled, onSettled);
  await clock.sleep(waitMs, settled.signal);
}
