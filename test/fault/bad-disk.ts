/** What must hold while the log's disk takes nothing, and once it is well again (G16). */
import type { Test } from 'tap';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { checkSame, eventually } from '../helpers/stream-checker.ts';
import { untilMetric, type World, wait } from './under-load.ts';

export const WAIT_MS = 30_000;

/** While nothing can be written: paused and told so, probes green, the log served. */
export async function checkPaused(t: Test, { relay, live }: World, causes: RegExp): Promise<void> {
  t.ok(await untilMetric(relay, 'relay_log_paused', (value) => value === 1, WAIT_MS), 'paused');
  const durable = await relay.metric('relay_log_durable_seq');
  t.ok(await eventually(() => live.lastSeq >= durable, WAIT_MS), 'what is durable is delivered');
  const replay = new RecordingConsumer(() => relay.streamUrl, 0);
  t.ok(await eventually(() => replay.lastSeq >= durable, WAIT_MS), 'the log is served');
  replay.stop();
  t.same(checkSame(live.received, replay.received), []);
  for (const path of ['/_healthz', '/_readyz']) {
    const { status } = await fetch(`http://127.0.0.1:${relay.metricsPort}${path}`);
    t.equal(status, 200, path);
  }
  await wait(1500);
  t.equal(await relay.metric('relay_log_durable_seq'), durable, 'nothing goes on');
  t.equal(live.lastSeq, durable, 'and nobody sees more');
  t.match(relay.stdout, causes);
  t.equal(relay.child.exitCode, null, 'no crash');
}

/** When it is well again: goes on at the next seq, and what is durable reaches the database. */
export async function checkWell(t: Test, { relay, live }: World): Promise<void> {
  const last = live.lastSeq;
  t.ok(await untilMetric(relay, 'relay_log_paused', (value) => value === 0, WAIT_MS), 'goes on');
  t.ok(await eventually(() => live.lastSeq > last, WAIT_MS));
  t.equal(live.received.find(({ seq }) => seq > last)?.seq, last + 1, 'at the next seq');
  const durable = await relay.metric('relay_log_durable_seq');
  const isSaved = (seq: number): boolean => seq >= durable;
  t.ok(await untilMetric(relay, 'relay_store_checkpoint_seq', isSaved, WAIT_MS), 'database too');
}
