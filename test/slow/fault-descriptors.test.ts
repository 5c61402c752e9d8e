/** No descriptor is free under load (G16): nobody new, the log pauses where it needs one, no loss. */
import t from 'tap';
import { runUnderLoad, type World, wait } from '../fault/under-load.ts';
import { leaveFiles, limitFiles, whyNoLimits } from '../helpers/process-limits.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import type { RelayProcess } from '../helpers/relay-process.ts';
import { checkSame, eventually } from '../helpers/stream-checker.ts';

const skip = whyNoLimits();
const WAIT_MS = 30_000;
const FILES = 4096;
/** All below are open from the start on: whatever is closed, nothing can be opened. */
const FILES_OF_START = 16;
const OUTAGE_MS = 3000;
/** Small segments: a new one, which needs a descriptor, is due every second. */
const env = { RELAY_LOG_LEVEL: 'info', RELAY_SEGMENT_BYTES: '256KiB' };

const pidOf = ({ child }: RelayProcess): number => child.pid ?? 0;
const isPaused = ({ stdout }: RelayProcess): boolean => /"cause":"files"/.test(stdout);

t.test('G16 EMFILE: none is free', { skip, timeout: 120_000 }, async (t) => {
  const trouble = async ({ relay, live, fleet }: World): Promise<void> => {
    const late = new RecordingConsumer(() => relay.streamUrl, 0);
    t.teardown(() => late.stop());
    await eventually(() => late.received.length > 100, WAIT_MS);
    late.pause();
    limitFiles(pidOf(relay), FILES_OF_START);
    t.ok(await eventually(() => isPaused(relay), WAIT_MS), 'paused');
    await wait(500);
    const last = live.lastSeq;
    // One reads what is no longer in memory, one comes, a host is to be read again.
    late.resume();
    const fresh = new RecordingConsumer(() => relay.streamUrl, 0);
    t.teardown(() => fresh.stop());
    const [host] = fleet.hosts;
    host?.dropReaders();
    await wait(OUTAGE_MS);
    t.equal(fresh.received.length, 0, 'nobody new');
    t.equal(host?.readerCount, 0, 'no host either');
    t.equal(live.lastSeq, last, 'nothing goes on');
    t.same(live.closeCodes, [], 'who was there stays');
    t.equal(relay.child.exitCode, null, 'no crash');
    limitFiles(pidOf(relay), FILES);
    t.ok(await eventually(() => live.lastSeq > last, WAIT_MS), 'goes on');
    t.equal(live.received.find(({ seq }) => seq > last)?.seq, last + 1, 'at the next seq');
    t.ok(await eventually(() => host?.readerCount === 1, WAIT_MS), 'the host is read again');
    for (const consumer of [late, fresh]) {
      const goal = live.lastSeq;
      t.ok(await eventually(() => consumer.lastSeq >= goal, WAIT_MS), 'everybody has everything');
      t.same(consumer.violations, []);
      t.same(checkSame(live.received, consumer.received), []);
    }
  };
  const { relay } = await runUnderLoad(t, 81, trouble, env);
  t.same(await relay.rejects(), {});
});

t.test('G15 G16 EMFILE: 1 to 4 are free', { skip, timeout: 120_000 }, async (t) => {
  const trouble = async ({ relay, live }: World): Promise<void> => {
    for (let freeCount = 1; freeCount <= 4; freeCount++) {
      const last = live.lastSeq;
      leaveFiles(pidOf(relay), freeCount);
      await wait(OUTAGE_MS);
      t.equal(relay.child.exitCode, null, `no crash with ${freeCount}`);
      limitFiles(pidOf(relay), FILES);
      t.ok(await eventually(() => live.lastSeq > last, WAIT_MS), `goes on after ${freeCount}`);
      await wait(1000);
    }
    t.same(live.closeCodes, []);
  };
  const { relay } = await runUnderLoad(t, 82, trouble, env);
  t.same(await relay.rejects(), {});
});
