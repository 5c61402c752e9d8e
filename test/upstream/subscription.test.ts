import t from 'tap';
import { MINUTE_MS, SECOND_MS } from '../../lib/base/units.ts';
import { FLAG_HOST_FULL, FLAG_LENIENT } from '../../lib/ring/ingest-record.ts';
import { hostSettings } from '../helpers/host-record.ts';
import { Harness, hostOf, startPds } from './harness.ts';
import { burst, errorFrame, eventFrame, infoFrame, settle, until } from './pds.ts';

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

t.test(
  'SQ-13, SQ-16: resumes from the stored cursor, then exactly after the last routed seq',
  async (t) => {
    const pds = await startPds(t);
    const h = new Harness(t);
    h.fleet.add(hostOf(pds));
    await h.connected(pds);
    t.equal(pds.last.cursor, '100');
    for (const seq of range(101, 150)) pds.last.ws.send(eventFrame(seq));
    await until(() => h.sink.taken.length === 50);
    pds.last.ws.close(1001);
    await until(() => h.stats().state === 'backoff');
    await h.retry();
    await h.connected(pds, 2);
    t.equal(pds.last.cursor, '150');
    for (const seq of range(151, 160)) pds.last.ws.send(eventFrame(seq));
    await until(() => h.sink.taken.length === 60);
    t.same(h.sink.seqs(), range(101, 160), 'no gap, no repeat');
    t.same(h.fleet.cursors.takeChanged(), [{ hostId: 1, hostSeq: 160 }]);
  },
);

t.test(
  'A5: a host whose cursor is inclusive sends the last frame again; it is dropped',
  async (t) => {
    const pds = await startPds(t, {
      onConnection: ({ ws, cursor }) => {
        for (const seq of range(Number(cursor), Number(cursor) + 3)) ws.send(eventFrame(seq));
      },
    });
    const h = new Harness(t);
    h.fleet.add(hostOf(pds));
    await until(() => h.sink.taken.length === 3);
    t.same(h.sink.seqs(), [101, 102, 103]);
    t.equal(h.metrics.readReject('host_seq_regressed', 'trusted'), 1);
    t.equal(h.stats().state, 'open');
  },
);

t.test(
  'SQ-11, H36, H37: seqs that repeat or go back are dropped and counted, not the host',
  async (t) => {
    const pds = await startPds(t);
    const h = new Harness(t);
    h.fleet.add(hostOf(pds));
    await h.connected(pds);
    for (const seq of [1000, 1000, 5, 2000]) pds.last.ws.send(eventFrame(seq));
    await until(() => h.sink.taken.length === 2);
    t.same(h.sink.seqs(), [1000, 2000]);
    t.equal(h.metrics.readReject('host_seq_regressed', 'trusted'), 2);
    t.equal(h.stats().state, 'open');
    t.equal(h.stats().strikes, 0);
  },
);

t.test('SQ-1, H35, H38: a seq out of range moves no cursor, a jump does', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  const tooLarge = eventFrame(2 ** 53 - 1)
    .toString('hex')
    .replace('001fffffffffffff', '0020'.padEnd(16, '0'));
  pds.last.ws.send(Buffer.from(tooLarge, 'hex'));
  for (const seq of [0, 10 ** 12]) pds.last.ws.send(eventFrame(seq));
  await until(() => h.sink.taken.length === 1);
  t.equal(h.metrics.readReject('host_seq_bad', 'trusted'), 2);
  t.equal(h.stats().lastSeq, 10 ** 12);
});

t.test(
  'A5: a stream that only goes back is ended, and its cursor question asked again',
  async (t) => {
    const pds = await startPds(t);
    const h = new Harness(t);
    h.fleet.add(hostOf(pds));
    await h.connected(pds);
    pds.last.ws.send(eventFrame(2 ** 53 - 1));
    pds.last.socket.write(burst(range(1, 1000).map((seq) => eventFrame(seq))));
    await until(() => h.stats().state === 'backoff');
    t.match(h.stats().lastError, { cause: 'reject', detail: 'host_seq_regressed' });
  },
);

t.test('H39, A49: a host that restarts its numbering is accepted and flagged', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  for (const seq of [1, 2, 3]) pds.last.ws.send(eventFrame(seq));
  await until(() => h.sink.taken.length === 3);
  t.same(h.sink.seqs(), [1, 2, 3]);
  t.equal(h.metrics.read('relay_upstream_renumbered_total'), 1);
  t.same(h.fleet.cursors.takeChanged(), [{ hostId: 1, hostSeq: 3 }], 'its cursor goes back');
});

t.test('pause: the rest of the chunk is parked, order is kept, nothing is lost', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  h.sink.roomLeft = 10;
  pds.last.socket.write(burst(range(301, 600).map((seq) => eventFrame(seq))));
  await until(() => h.stats().state === 'paused');
  await settle();
  const paused = h.stats();
  t.equal(paused.pauseReason, 'ring_full');
  t.equal(h.sink.taken.length, 10);
  t.ok(paused.framesParked > 50, `${paused.framesParked} parked`);
  t.equal(paused.bytesParked, paused.framesParked * eventFrame(301).length);
  await h.pass(1000);
  t.equal(h.metrics.read('relay_upstream_parked_bytes'), paused.bytesParked);
  t.equal(h.sink.refusals, 1, 'nobody spins on a full ring');

  h.sink.roomLeft = 100;
  await h.pass(20);
  t.equal(h.sink.taken.length, 110);
  t.equal(h.stats().state, 'paused', 'full again with frames still parked');
  h.sink.roomLeft = Number.POSITIVE_INFINITY;
  await h.pass(20);
  await until(() => h.sink.taken.length === 300);
  t.same(h.sink.seqs(), range(301, 600));
  t.equal(h.stats().state, 'open');
  t.equal(h.stats().bytesParked, 0);
});

t.test('pause: a paused socket is not read, the host feels it', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  h.sink.roomLeft = 0;
  let seq = 100;
  const frame = (): Buffer => eventFrame(++seq, undefined, 100_000);
  for (let i = 0; i < 200; i++) pds.last.ws.send(frame());
  await settle(150);
  t.equal(h.stats().state, 'paused');
  t.ok(pds.last.ws.bufferedAmount > 1_000_000, 'most of 20 MB waits at the host');
  t.ok(h.stats().bytesParked < 1_000_000, `${h.stats().bytesParked} bytes here`);
  h.sink.roomLeft = Number.POSITIVE_INFINITY;
  await h.pass(20);
  await until(() => h.sink.taken.length === 200);
  t.same(h.sink.seqs(), range(101, 300));
});

t.test('pause: what was parked when the host hung up comes again', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  h.sink.roomLeft = 5;
  pds.last.socket.write(burst(range(101, 120).map((seq) => eventFrame(seq))));
  await until(() => h.stats().framesParked === 15);
  h.fleet.disconnect(1);
  await until(() => h.stats().state === 'backoff');
  t.equal(h.stats().bytesParked, 0);
  h.sink.roomLeft = Number.POSITIVE_INFINITY;
  await h.retry();
  await h.connected(pds, 2);
  t.equal(pds.last.cursor, '105');
});

t.test('S31: deadlines stand still while paused, and run again afterwards', async (t) => {
  const pds = await startPds(t);
  let pings = 0;
  const h = new Harness(t, { tickMs: SECOND_MS, ringPollMs: SECOND_MS });
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  pds.last.ws.on('ping', () => pings++);
  h.sink.roomLeft = 0;
  pds.last.ws.send(eventFrame(101));
  await until(() => h.stats().state === 'paused');
  await h.pass(10 * MINUTE_MS);
  await settle();
  t.equal(h.stats().state, 'paused', 'ten minutes of silence are ours');
  t.equal(pings, 0);
  h.sink.roomLeft = 10;
  await h.pass(SECOND_MS);
  t.equal(h.stats().state, 'open');
  await h.pass(20 * SECOND_MS);
  t.equal(h.stats().state, 'open');
  await h.pass(15 * SECOND_MS);
  await until(() => pings === 1, 'a ping');
});

t.test('S31: a host that is gone without a word is noticed', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  pds.last.ws.pause();
  await h.pass(70 * SECOND_MS);
  t.equal(h.stats().state, 'open');
  await h.pass(5200);
  t.match(h.stats(), { state: 'backoff', lastError: { cause: 'idle' } });
  t.equal(h.metrics.read('relay_upstream_disconnects_total:idle'), 1);
});

t.test('G19: a host over its rate is paused until the window frees, never dropped', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  const settings = hostSettings({ accountCount: 0, isTrusted: false });
  h.fleet.add(hostOf(pds, { settings, isTrusted: false }));
  await h.connected(pds);
  pds.last.socket.write(burst(range(101, 250).map((seq) => eventFrame(seq))));
  await until(() => h.stats().state === 'paused');
  t.match(h.stats(), { pauseReason: 'rate', status: 'active' });
  t.equal(h.sink.taken.length, 50);
  for (let second = 0; second < 10; second++) await h.pass(SECOND_MS);
  await until(() => h.sink.taken.length === 150);
  t.same(h.sink.seqs(), range(101, 250));
  t.equal(h.stats().connects, 1, 'on the same connection');
});

t.test('a host over its hourly rate is throttled, and active again afterwards', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  const settings = hostSettings();
  const withHourly = (eventsPerHour: number) => {
    return { ...settings, limits: { ...settings.limits, eventsPerHour } };
  };
  h.fleet.setSettings(1, withHourly(10));
  pds.last.socket.write(burst(range(101, 115).map((seq) => eventFrame(seq))));
  await until(() => h.stats().status === 'throttled');
  t.equal(h.sink.taken.length, 10);
  t.equal(h.metrics.read('relay_hosts_limits_reached_total:eventsPerHour'), 1);
  h.fleet.setSettings(1, withHourly(1000));
  t.equal(h.stats().status, 'active', 'new limits take effect at once');
  await until(() => h.sink.taken.length === 15);
  t.same(h.statuses, [
    [1, 'throttled'],
    [1, 'active'],
  ]);
});

const NO_USAGE = { verifyMs: 0, discontinuousCount: 0, waivedCount: 0 };

t.test(
  'G19: a host that costs too much time is throttled, and nothing of it is lost',
  async (t) => {
    const pds = await startPds(t);
    const h = new Harness(t);
    const settings = hostSettings({ accountCount: 100, isTrusted: false });
    h.fleet.add(hostOf(pds, { settings }));
    await h.connected(pds);
    pds.last.socket.write(burst(range(101, 110).map((seq) => eventFrame(seq))));
    await until(() => h.sink.taken.length === 10);
    h.fleet.charge(1, { ...NO_USAGE, verifyMs: 4000 });
    pds.last.socket.write(burst([eventFrame(111)]));
    await until(() => h.sink.taken.length === 11);
    t.match(h.stats(), { state: 'open', status: 'active', usage: { verifyMs: 4000 } });
    // What was in the ring already counts as well.
    h.fleet.charge(1, { ...NO_USAGE, verifyMs: 4000 });
    pds.last.socket.write(burst(range(112, 120).map((seq) => eventFrame(seq))));
    await until(() => h.stats().state === 'paused');
    t.match(h.stats(), { pauseReason: 'rate', status: 'throttled', usage: { verifyMs: 8000 } });
    t.equal(h.metrics.read('relay_hosts_limits_reached_total:verifyMsPerMinute'), 1);
    t.equal(h.metrics.read('relay_hosts_verify_seconds_total'), 8);
    await h.pass(30 * SECOND_MS);
    t.equal(h.sink.taken.length, 11);
    for (let minute = 0; minute < 3; minute++) await h.pass(MINUTE_MS);
    await until(() => h.sink.taken.length === 20);
    t.same(h.sink.seqs(), range(101, 120));
    await h.pass(MINUTE_MS);
    t.match(h.stats(), { status: 'active', connects: 1 });
  },
);

t.test('H130: too many discontinuous commits slow a host, for a time', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t, { slowMs: MINUTE_MS });
  const settings = hostSettings({ accountCount: 0, isTrusted: false });
  h.fleet.add(hostOf(pds, { settings }));
  await h.connected(pds);
  h.fleet.charge(1, { ...NO_USAGE, discontinuousCount: 500 });
  t.match(h.stats(), { status: 'active', isSlowed: false });
  h.fleet.charge(1, { ...NO_USAGE, discontinuousCount: 1 });
  t.match(h.stats(), { status: 'throttled', isSlowed: true, usage: { discontinuousCount: 501 } });
  t.equal(h.metrics.read('relay_hosts_limits_reached_total:discontinuousPerHour'), 1);
  pds.last.socket.write(burst(range(101, 150).map((seq) => eventFrame(seq))));
  await until(() => h.stats().state === 'paused');
  t.equal(h.sink.taken.length, 5, 'a tenth of 50 a second');
  t.equal(h.stats().status, 'throttled');
  for (let second = 0; second < 61; second++) await h.pass(SECOND_MS);
  await until(() => h.sink.taken.length === 50);
  t.same(h.sink.seqs(), range(101, 150), 'slower, not lost');
  await h.pass(MINUTE_MS);
  t.equal(h.stats().status, 'active', 'it recovers');
  t.same(h.statuses, [
    [1, 'throttled'],
    [1, 'active'],
  ]);
});

t.test('a host that was throttled when the relay stopped is active when it behaves', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds, { status: 'throttled' }));
  await h.connected(pds);
  pds.last.socket.write(burst([eventFrame(101)]));
  await until(() => h.stats().status === 'active');
  t.same(h.statuses, [[1, 'active']]);
});

t.test('A12, H150: what main knows of a host goes with each of its frames', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  const settings = hostSettings();
  h.fleet.add(hostOf(pds, { settings: { ...settings, isLenient: true } }));
  await h.connected(pds);
  const send = async (seq: number): Promise<number | undefined> => {
    pds.last.socket.write(burst([eventFrame(seq)]));
    await until(() => h.sink.taken.at(-1)?.hostSeq === seq);
    return h.sink.taken.at(-1)?.flags;
  };
  t.equal(await send(101), FLAG_LENIENT);
  h.fleet.setSettings(1, { ...settings, isFull: true });
  t.equal(await send(102), FLAG_HOST_FULL);
  t.match(h.stats(), { isFull: true, isLenient: false });
  h.fleet.setSettings(1, settings);
  t.equal(await send(103), 0);
});

t.test('S50: an operator stops the intake of one host, then of all', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  h.fleet.setPaused(true, 1);
  pds.last.ws.send(eventFrame(101));
  await until(() => h.stats().pauseReason === 'operator');
  h.fleet.setPaused(false);
  t.equal(h.stats().state, 'paused', 'it was stopped by itself');
  h.fleet.setPaused(false, 1);
  await until(() => h.sink.taken.length === 1);
  h.fleet.setPaused(true);
  pds.last.ws.send(eventFrame(102));
  await until(() => h.stats().pauseReason === 'operator');
  h.fleet.setPaused(false);
  await until(() => h.sink.taken.length === 2);
});

t.test('G9: the cursor before the first frame is stored before that frame is routed', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  const stored = Promise.withResolvers<void>();
  h.firstCursorGate = () => stored.promise;
  h.fleet.add(hostOf(pds, { cursor: null }));
  await h.connected(pds);
  t.equal(pds.last.cursor, null);
  for (const seq of [500, 501, 502]) pds.last.ws.send(eventFrame(seq));
  await until(() => h.stats().pauseReason === 'first_cursor');
  await settle();
  t.same(h.sink.taken, []);
  stored.resolve();
  await until(() => h.sink.taken.length === 3);
  t.same(h.firstCursors, [[1, 499]]);
  t.same(h.sink.seqs(), [500, 501, 502]);
});

t.test('G17: the first frame waits for the store, and comes again after a reconnect', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  let isDown = true;
  let tries = 0;
  h.firstCursorGate = async () => {
    tries++;
    if (isDown) throw new Error('no database');
  };
  h.fleet.add(hostOf(pds, { cursor: null }));
  await h.connected(pds);
  pds.last.ws.send(eventFrame(500));
  await until(() => tries === 1);
  await h.pass(MINUTE_MS);
  t.ok(tries > 3 && tries < 30, `${tries} tries in a minute`);
  h.fleet.disconnect(1);
  await h.retry();
  await h.connected(pds, 2);
  t.equal(pds.last.cursor, '499', 'where its first frame is, though nothing is stored');
  pds.last.ws.send(eventFrame(500));
  isDown = false;
  await until(() => h.sink.taken.length === 1);
  t.same(h.firstCursors, [[1, 499]]);
});

t.test('SQ-12, H11: FutureCursor makes idle; one probe from 0 after the back-off', async (t) => {
  const pds = await startPds(t, {
    onConnection: ({ ws, cursor }) => {
      if (cursor !== '0') ws.send(errorFrame('FutureCursor'));
      else for (const seq of [1, 2]) ws.send(eventFrame(seq));
    },
  });
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await until(() => h.stats().state === 'backoff');
  t.match(h.stats(), { status: 'idle', lastError: { detail: 'FutureCursor' } });
  t.same(h.statuses, [[1, 'idle']]);
  await h.retry();
  await until(() => h.sink.taken.length === 2);
  t.same(pds.cursors(), ['100', '0']);
  t.equal(h.stats().status, 'active');
  pds.last.ws.close();
  await until(() => h.stats().state === 'backoff');
  await h.retry();
  await h.connected(pds, 3);
  t.equal(pds.last.cursor, '2', 'then as always');
});

t.test('H11: a host that calls 0 the future too is asked again late, for ever', async (t) => {
  const pds = await startPds(t, { onConnection: ({ ws }) => ws.send(errorFrame('FutureCursor')) });
  const h = new Harness(t, { tickMs: SECOND_MS });
  h.fleet.add(hostOf(pds));
  await until(() => h.stats().state === 'backoff');
  t.ok((h.stats().nextRetryInMs ?? 0) < 5000);
  for (let probe = 0; probe < 3; probe++) {
    const count = pds.connections.length;
    await h.retry();
    await until(() => pds.connections.length === count + 1 && h.stats().state === 'backoff');
    t.equal(pds.last.cursor, '0');
    t.ok((h.stats().nextRetryInMs ?? 0) >= 30 * MINUTE_MS - SECOND_MS);
  }
});

t.test('H11: a probe may be answered from the very seq that was routed last', async (t) => {
  const pds = await startPds(t, {
    onConnection: ({ ws, cursor }) => {
      if (cursor !== '0') ws.send(errorFrame('FutureCursor'));
      else for (const seq of [100, 101]) ws.send(eventFrame(seq));
    },
  });
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await until(() => h.stats().state === 'backoff');
  await h.retry();
  await until(() => h.sink.taken.length === 2);
  t.same(h.sink.seqs(), [100, 101]);
});

t.test(
  'FR-9, H12, H13: other error frames end the connection; it resumes with back-off',
  async (t) => {
    const frames = [errorFrame('ConsumerTooSlow'), errorFrame('Whatever'), errorFrame('')];
    for (const frame of frames) {
      const pds = await startPds(t);
      const h = new Harness(t);
      h.fleet.add(hostOf(pds));
      await h.connected(pds);
      pds.last.ws.send(eventFrame(101));
      pds.last.ws.send(frame);
      await until(() => h.stats().state === 'backoff');
      t.match(h.stats(), { status: 'active', lastError: { cause: 'error_frame' } });
      await h.retry();
      await h.connected(pds, 2);
      t.equal(pds.last.cursor, '101');
    }
  },
);

t.test('SQ-2, H14: OutdatedCursor is logged and counted, nothing else', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  pds.last.ws.send(infoFrame('OutdatedCursor'));
  pds.last.ws.send(eventFrame(5000));
  await until(() => h.sink.taken.length === 1);
  t.equal(h.metrics.read('relay_upstream_info_frames_total'), 1);
  t.match(h.stats(), { state: 'open', strikes: 0, lastSeq: 5000 });
});

t.test('FR-6, H8, H10: unknown kinds are ignored, without a strike', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  const unknown = Buffer.from('a2617464236e6577626f7001a0', 'hex');
  const otherOp = Buffer.from('a1626f7002a0', 'hex');
  for (let i = 0; i < 5; i++) {
    pds.last.ws.send(unknown);
    pds.last.ws.send(otherOp);
  }
  pds.last.ws.send(eventFrame(101));
  await until(() => h.sink.taken.length === 1);
  t.equal(h.metrics.readReject('frame_kind_unknown', 'trusted'), 5);
  t.equal(h.metrics.readReject('frame_op_unknown', 'trusted'), 5);
  t.match(h.stats(), { state: 'open', strikes: 0 });
});
