/** Retention and ballast on main: what is said, and when they look (A4, G7, G16). */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { SystemClock } from '../../lib/base/clock.ts';
import { pauseCauseNo } from '../../lib/log/append-fault.ts';
import { BALLAST_NAME } from '../../lib/log/ballast.ts';
import { type RemovalFiles, SegmentRemover } from '../../lib/log/unlink.ts';
import { type Logger, silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { allocateWords, BallastState, Words } from '../../lib/shared/regions.ts';
import { LogRoom } from '../../lib/threads/log-room.ts';

type Line = { readonly fields: object; readonly message: string };

/** Segments of 1,000 bytes that start at these seqs. */
function setUp(t: { teardown(end: () => unknown): void }, firstSeqs: number[], ballastBytes = 0) {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-room-'));
  const words = new Words(allocateWords());
  const metrics = new MetricWriter();
  const lines: Line[] = [];
  const say = (fields: object, message: string): void => {
    lines.push({ fields, message });
  };
  const logger: Logger = { ...silentLogger, info: say, error: say, child: () => logger };
  const name = (firstSeq: number): string => `${String(firstSeq).padStart(16, '0')}.seg`;
  let passCount = 0;
  const files: RemovalFiles = {
    names: async () => {
      passCount++;
      return firstSeqs.map(name);
    },
    open: async () => ({
      bytes: async () => 1000,
      truncate: async () => {},
      close: async () => {},
    }),
    unlink: async () => {
      firstSeqs.shift();
    },
    syncDirectory: async () => {},
  };
  const remover = new SegmentRemover({
    directory,
    files,
    metrics,
    oldestSeq: () => words.wideReader('oldestSeq').observe(),
    activeBytes: () => 77,
    retire: async () => {},
  });
  const clock = new SystemClock();
  const start = (): LogRoom => {
    const room = new LogRoom({ directory, ballastBytes, remover, words, clock, logger, metrics });
    t.teardown(async () => {
      await room.stop();
      rmSync(directory, { recursive: true, force: true });
    });
    return room;
  };
  return { directory, words, metrics, lines, start, passes: () => passCount };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

t.test(
  'A4: the line of a pass says what went, what is active and where the log begins',
  async (t) => {
    const { words, lines, start } = setUp(t, [1, 50, 90]);
    words.wideWriter('oldestSeq').publish(90);
    start();
    await until(() => lines.length > 0);
    t.same(lines, [
      {
        fields: { segments_removed: 2, bytes_removed: 2000, active_bytes: 77, oldest_seq: 90 },
        message: 'segments removed',
      },
    ]);
  },
);

t.test('G16: when the log writer is refused room, retention is not waited for', async (t) => {
  const { words, start, passes } = setUp(t, [1]);
  start();
  await until(() => passes() === 1);
  words.writer('pauseCause').publish(pauseCauseNo('no_space'));
  await until(() => passes() > 1);
  t.pass('long before its time');
});

t.test('G16: the ballast is built, and given back on a full disk', async (t) => {
  const bytes = 3000;
  const { directory, words, metrics, lines, start } = setUp(t, [1], bytes);
  start();
  const state = words.reader('ballast');
  await until(() => state.observe() === BallastState.whole);
  t.ok(readdirSync(directory).includes(BALLAST_NAME));
  words.writer('pauseCause').publish(pauseCauseNo('quota'));
  await until(() => state.observe() === BallastState.given);
  t.equal(metrics.read('relay_log_ballast_releases_total'), 1);
  t.match(lines.at(-1), { message: /disk full/, fields: { ballastBytes: bytes } });
  words.writer('pauseCause').publish(0);
  await until(() => state.observe() === BallastState.whole);
  t.pass('and restored');
});
