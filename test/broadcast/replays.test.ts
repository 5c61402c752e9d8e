/** Reads of the log for consumers: shared, bounded, honest about what is missing. */
import t from 'tap';
import { RelayFault } from '../../lib/base/fault.ts';
import type { Consumer } from '../../lib/broadcast/consumer.ts';
import { type LogRead, Replays } from '../../lib/broadcast/replays.ts';
import type { CursorRead } from '../../lib/log/cursor.ts';
import { Client, until, World } from './world.ts';

type Answer = CursorRead | Error;

/** A log that answers what it is told to, one answer per call. */
class ScriptedLog {
  readonly opened: number[] = [];
  closes = 0;
  readonly script: Answer[] = [];
  readonly gates: (() => void)[] = [];
  isGated = false;

  open(seq: number) {
    this.opened.push(seq);
    return {
      next: async (): Promise<CursorRead> => {
        if (this.isGated) await new Promise<void>((resolve) => this.gates.push(resolve));
        const answer = this.script.shift() ?? { kind: 'end' };
        if (answer instanceof Error) throw answer;
        return answer;
      },
      close: () => {
        this.closes++;
      },
    };
  }
}

function frames(lastSeq: number, bytes = 10): CursorRead {
  return { kind: 'frames', bytes: Buffer.alloc(bytes), lastSeq };
}

class Bench {
  readonly log = new ScriptedLog();
  readonly reads: [Consumer, LogRead][] = [];
  oldestSeq = 1;
  readonly replays = new Replays(
    this.log,
    { readsMax: 2, pieceBytesMax: 1000 },
    () => this.oldestSeq,
    (consumer, read) => this.reads.push([consumer, read]),
  );

  consumer(seq: number): Consumer {
    return { seq, isReading: false } as Consumer;
  }

  async settled(count: number): Promise<void> {
    await until(() => this.reads.length === count);
  }
}

t.test('consumers at one seq share one read, later ones the piece', async (t) => {
  const bench = new Bench();
  bench.log.script.push(frames(20));
  const [a, b, c] = [bench.consumer(10), bench.consumer(10), bench.consumer(10)];
  t.equal(bench.replays.take(a), undefined);
  t.equal(bench.replays.take(b), undefined);
  t.ok(a.isReading && b.isReading);
  await bench.settled(2);
  t.notOk(a.isReading || b.isReading);
  t.equal(bench.reads[0]?.[1], bench.reads[1]?.[1], 'the same piece');
  t.equal(bench.replays.take(c), bench.reads[0]?.[1], 'at once, without a read');
  t.same(bench.log.opened, [10]);
});

t.test('a cursor goes on where it stands, and is opened anew where it does not', async (t) => {
  const bench = new Bench();
  bench.log.script.push(frames(20), frames(30), frames(50));
  const a = bench.consumer(10);
  bench.replays.take(a);
  await bench.settled(1);
  a.seq = 20;
  bench.replays.take(a);
  await bench.settled(2);
  t.same(bench.log.opened, [10], 'the same cursor');
  a.seq = 40;
  bench.replays.take(a);
  await bench.settled(3);
  t.same(bench.log.opened, [10, 40], 'pieces of others carried it on');
  t.equal(bench.log.closes, 1);
  bench.replays.release(a);
  t.equal(bench.log.closes, 2);
  t.equal(bench.replays.cursors, 0);
});

t.test('no more reads at a time than allowed, first come first served', async (t) => {
  const bench = new Bench();
  bench.log.isGated = true;
  for (let seq = 1; seq <= 5; seq++) bench.replays.take(bench.consumer(seq * 10));
  t.equal(bench.log.gates.length, 2);
  t.equal(bench.replays.pending, 5);
  bench.log.gates.shift()?.();
  await bench.settled(1);
  await until(() => bench.log.gates.length === 2);
  t.same(bench.log.opened, [10, 20, 30]);
  bench.log.isGated = false;
  for (const gate of bench.log.gates) gate();
  await bench.settled(5);
  t.equal(bench.replays.pending, 0);
});

t.test('who leaves in the middle of a read closes its cursor after it', async (t) => {
  const bench = new Bench();
  bench.log.isGated = true;
  bench.log.script.push(frames(20));
  const leaving = bench.consumer(10);
  bench.replays.take(leaving);
  bench.replays.release(leaving);
  t.equal(bench.log.closes, 0, 'the read goes on with it');
  bench.log.gates.shift()?.();
  await bench.settled(1);
  bench.replays.release(leaving);
  t.equal(bench.log.closes, 1);
  t.equal(bench.replays.cursors, 0);
});

t.test('empty batches account for nothing and are passed over', async (t) => {
  const bench = new Bench();
  bench.log.script.push(frames(10, 0), frames(10, 0), frames(15));
  bench.replays.take(bench.consumer(10));
  await bench.settled(1);
  t.match(bench.reads[0]?.[1], { kind: 'frames', lastSeq: 15 });
});

t.test('G7: what retention removed while a cursor was placed is not skipped', async (t) => {
  const bench = new Bench();
  bench.log.isGated = true;
  bench.log.script.push(frames(60), frames(70));
  const late = bench.consumer(10);
  bench.replays.take(late);
  // The log begins at 51 now: a new cursor starts there, without a word.
  bench.oldestSeq = 51;
  bench.log.gates.shift()?.();
  await bench.settled(1);
  t.equal(bench.reads[0]?.[1].kind, 'gone');
  t.equal(bench.replays.take(bench.consumer(10)), undefined, 'nor is it kept for others');
  await until(() => bench.log.gates.length === 1);
  bench.oldestSeq = 11;
  bench.log.gates.shift()?.();
  await bench.settled(2);
  t.match(bench.reads[1]?.[1], { kind: 'frames', lastSeq: 70 }, 'directly at the oldest is whole');
});

t.test('G26: pieces of which little may be shown count with all they keep in memory', async (t) => {
  const bench = new Bench();
  const count = 20;
  for (let i = 1; i <= count; i++) {
    const bytes = Buffer.allocUnsafeSlow(1024 * 1024).subarray(0, 100);
    bench.log.script.push({ kind: 'frames', bytes, lastSeq: i });
  }
  const reader = bench.consumer(0);
  for (let i = 1; i <= count; i++) {
    reader.seq = i - 1;
    bench.replays.take(reader);
    await bench.settled(i);
  }
  let kept = 0;
  for (let seq = 0; seq < count; seq++) {
    if (bench.replays.take(bench.consumer(seq)) !== undefined) kept++;
  }
  t.equal(kept, 8, 'eight MiB');
});

t.test('G28: a piece read before a takedown is not shown after it', async (t) => {
  const bench = new Bench();
  bench.log.isGated = true;
  bench.log.script.push(frames(20), frames(20));
  bench.replays.take(bench.consumer(10));
  bench.replays.clear();
  bench.log.gates.shift()?.();
  await bench.settled(1);
  t.equal(bench.replays.take(bench.consumer(10)), undefined, 'read again');
});

t.test('faults of the disk are told from damage', async (t) => {
  const bench = new Bench();
  bench.log.script.push(
    new RelayFault('log_read_failed', 'EMFILE', { isRetryable: true }),
    new RelayFault('log_version_unknown', 'v9', { isRetryable: false }),
    { kind: 'bad', message: 'rot' },
    { kind: 'gone' },
    { kind: 'end' },
  );
  for (let i = 1; i <= 5; i++) {
    bench.replays.take(bench.consumer(i));
    await bench.settled(i);
  }
  t.same(
    bench.reads.map(([, { kind }]) => kind),
    ['retry', 'bad', 'bad', 'gone', 'end'],
  );
});

t.test(
  'a disk that cannot be read is tried again, then the replay ends with an error',
  async (t) => {
    const hub = { sweepMs: 5 };
    const world = await new World({ hub, tailBytes: 16 * 1024 }).listen();
    t.teardown(() => world.stop());
    world.append(100, 1000);
    let failures = 3;
    const open = world.log.open.bind(world.log);
    world.log.open = (seq) => {
      const cursor = open(seq);
      return {
        close: () => cursor.close(),
        next: async (bytes) => {
          if (failures-- > 0) throw new RelayFault('log_read_failed', 'EIO', { isRetryable: true });
          return await cursor.next(bytes);
        },
      };
    };
    const lucky = await new Client(world.port, '?cursor=0').open();
    await until(() => lucky.lastSeq === 100);
    t.same(lucky.faults(1, 100), []);
    failures = Number.POSITIVE_INFINITY;
    const unlucky = new Client(world.port, '?cursor=1');
    await unlucky.closed;
    t.equal(unlucky.closeCode, 1011);
  },
);

t.test(
  'G16: events that arrive do not use up the tries of a disk that cannot be read',
  async (t) => {
    const hub = { sweepMs: 1000, gatherMs: 1 };
    const world = await new World({ hub, tailBytes: 16 * 1024 }).listen();
    t.teardown(() => world.stop());
    world.append(100, 1000);
    let isFailing = true;
    const open = world.log.open.bind(world.log);
    world.log.open = (seq) => {
      const cursor = open(seq);
      return {
        close: () => cursor.close(),
        next: async (bytes) => {
          const fault = new RelayFault('log_read_failed', 'EMFILE', { isRetryable: true });
          if (isFailing) throw fault;
          return await cursor.next(bytes);
        },
      };
    };
    const client = await new Client(world.port, '?cursor=0').open();
    for (let i = 0; i < 60; i++) {
      world.append(1, 100);
      await new Promise((resolve) => setTimeout(resolve, 4));
    }
    isFailing = false;
    await until(() => client.lastSeq === 160 || client.closeCode !== 0);
    t.same(client.faults(1, 160), []);
  },
);
