/** What hosts do wrong, on real sockets: each fault ends in its own count and nothing else. */
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { nextTurn } from '../../lib/base/clock.ts';
import { MINUTE_MS, SECOND_MS } from '../../lib/base/units.ts';
import type { FleetOptions } from '../../lib/upstream/fleet.ts';
import { didHashOfText } from '../../lib/wire/did-hash.ts';
import { Harness, hostOf, startPds } from './harness.ts';
import { burst, DID, errorFrame, eventFrame, type Pds, rawFrame, settle, until } from './pds.ts';

const otherGarbage = (i: number): Buffer => Buffer.concat([Buffer.from([0x80]), Buffer.from([i])]);

/** For tests that let a long time pass. */
const COARSE = { tickMs: SECOND_MS, ringPollMs: SECOND_MS };

async function connect(
  t: Test,
  options: Partial<FleetOptions> = {},
): Promise<{ pds: Pds; h: Harness }> {
  const pds = await startPds(t);
  const h = new Harness(t, options);
  h.fleet.add(hostOf(pds));
  await h.connected(pds);
  return { pds, h };
}

async function reconnect(h: Harness, pds: Pds): Promise<void> {
  const count = pds.connections.length;
  await until(() => h.stats().state === 'backoff', 'back-off');
  await h.retry();
  await h.connected(pds, count + 1);
}

t.test('FR-7, H5, H6: garbage is dropped with a strike, the third closes', async (t) => {
  const { pds, h } = await connect(t);
  pds.last.ws.send(otherGarbage(1));
  pds.last.ws.send(otherGarbage(2));
  pds.last.ws.send(eventFrame(101));
  await until(() => h.sink.taken.length === 1);
  t.match(h.stats(), { state: 'open', strikes: 2 });
  pds.last.ws.send(otherGarbage(3));
  await until(() => h.stats().state === 'backoff');
  t.match(h.stats(), { lastError: { cause: 'strikes' } });
  t.equal(h.metrics.read('relay_upstream_strikes_total'), 3);
  t.equal(h.stats().lastRejects.length, 3);
});

t.test(
  'FR-4, FR-5, FR-7, FR-10, H2, H3, H5, H6, H7, H31: what is no frame is a strike',
  async (t) => {
    const frames: [what: string, hex: string][] = [
      ['empty', ''],
      ['header only', 'a261746723636f6d6d6974626f7001'],
      ['header is an array', '8001'],
      ['header is a number', '01a0'],
      ['op is a string', 'a2617467236964656e74626f706131a0'],
      ['no t', 'a1626f7001a0'],
      ['payload is an array', 'a26174692361636f756e74626f700180'],
    ];
    for (const [what, hex] of frames) {
      const { pds, h } = await connect(t);
      pds.last.ws.send(Buffer.from(hex, 'hex'));
      pds.last.ws.send(eventFrame(101));
      await until(() => h.sink.taken.length === 1, what);
      t.match(h.stats(), { state: 'open', strikes: 1 }, what);
    }
  },
);

t.test('strikes older than ten minutes do not count', async (t) => {
  const { pds, h } = await connect(t, COARSE);
  for (let i = 0; i < 5; i++) {
    pds.last.ws.send(otherGarbage(i));
    await until(() => h.stats().strikes >= 1);
    await h.pass(6 * MINUTE_MS);
  }
  t.equal(h.stats().state, 'open');
});

t.test('FR-4, H1, S32: a text frame ends the connection', async (t) => {
  const { pds, h } = await connect(t);
  pds.last.ws.send('hello');
  await until(() => h.stats().state === 'backoff');
  t.equal(h.metrics.readReject('frame_not_binary', 'trusted'), 1);
  t.match(h.stats(), { lastError: { cause: 'reject', detail: 'frame_not_binary' } });
});

t.test(
  'A42, H16: poison that comes again at its place is stepped over, once reported',
  async (t) => {
    const { pds, h } = await connect(t);
    const replay = (): void => {
      pds.last.ws.send('poison');
      pds.last.ws.send(eventFrame(102));
    };
    pds.last.ws.send(eventFrame(101));
    replay();
    await reconnect(h, pds);
    t.equal(pds.last.cursor, '101');
    replay();
    await until(() => h.sink.taken.length === 2);
    t.same(h.sink.seqs(), [101, 102]);
    t.equal(h.stats().state, 'open');
    t.match(h.poisons, [{ hostId: 1, code: 'frame_not_binary', hostSeqBefore: 101, bytes: 6 }]);
    t.equal(h.metrics.read('relay_upstream_poison_frames_total'), 1);
  },
);

t.test('A42: three strikes at one place are stepped over after the reconnect', async (t) => {
  const { pds, h } = await connect(t);
  const replay = (): void => {
    for (const i of [1, 2, 3]) pds.last.ws.send(otherGarbage(i));
    pds.last.ws.send(eventFrame(101));
  };
  replay();
  await reconnect(h, pds);
  replay();
  await until(() => h.sink.taken.length === 1);
  t.equal(h.stats().strikes, 0);
  t.equal(h.poisons.length, 3);
});

t.test('A42: only the same bytes, at the same place, on a later connection', async (t) => {
  const { pds, h } = await connect(t);
  pds.last.ws.send('poison');
  await reconnect(h, pds);
  pds.last.ws.send('other');
  await until(() => h.stats().state === 'backoff', 'other bytes are judged anew');
  await reconnect(h, pds);
  pds.last.ws.send(eventFrame(101));
  await until(() => h.sink.taken.length === 1);
  pds.last.ws.send('poison');
  await until(() => h.stats().state === 'backoff', 'another place is judged anew');
  t.same(h.poisons, []);
});

t.test(
  'FR-11, FR-16, LM-1, H15, S26: a message over the limit ends the connection; the limit itself passes',
  async (t) => {
    const { pds, h } = await connect(t);
    const overhead = eventFrame(101, DID, 70_000).length - 70_000;
    const exact = eventFrame(101, DID, 5_000_000 - overhead);
    t.equal(exact.length, 5_000_000);
    pds.last.ws.send(exact);
    await until(() => h.sink.taken.length === 1);
    pds.last.ws.send(eventFrame(102, DID, 5_000_001 - overhead));
    await until(() => h.stats().state === 'backoff');
    t.equal(h.metrics.read('relay_upstream_disconnects_total:too_large'), 1);
    t.equal(h.metrics.readReject('frame_too_large', 'trusted'), 1);
  },
);

const TOO_LARGE = Buffer.concat([Buffer.from('827f00000000004c4b41', 'hex'), Buffer.alloc(100)]);
const TOO_MANY_PARTS = Buffer.concat([
  rawFrame(0x02, Buffer.from('a')),
  ...Array.from({ length: 100 }, () => rawFrame(0x00, Buffer.from('a'))),
]);

for (const [what, message] of [
  ['too large', TOO_LARGE],
  ['in too many fragments', TOO_MANY_PARTS],
] as const) {
  t.test(`A42: a message ${what} is stepped over by its seq, no other is`, async (t) => {
    // The host's stream: 101, 103 (unreadable), 104. There is no 102.
    const pds = await startPds(t, {
      onConnection: ({ ws, socket, cursor }) => {
        if (Number(cursor) < 101) ws.send(eventFrame(101));
        if (Number(cursor) < 103) socket.write(message);
        else if (Number(cursor) < 104) ws.send(eventFrame(104));
      },
    });
    const h = new Harness(t);
    h.fleet.add(hostOf(pds));
    const isDone = (): boolean => h.sink.taken.length === 2;
    for (let i = 1; !isDone() && i < 10; i++) {
      await h.connected(pds, i);
      await until(() => h.stats().state === 'backoff' || isDone());
      if (!isDone()) await h.retry();
    }
    t.same(h.sink.seqs(), [101, 104]);
    t.same(pds.cursors(), ['100', '101', '101', '102', '103']);
  });
}

t.test('S25, H17: too many fragments end the connection', async (t) => {
  const { pds, h } = await connect(t);
  const fragments = [rawFrame(0x02, Buffer.from('a'))];
  for (let i = 0; i < 100; i++) fragments.push(rawFrame(0x00, Buffer.from('a')));
  pds.last.socket.write(Buffer.concat(fragments));
  await until(() => h.stats().state === 'backoff');
  t.match(h.stats(), {
    lastError: { cause: 'protocol', detail: 'WS_ERR_TOO_MANY_BUFFERED_PARTS' },
  });
});

t.test('S25: a message in thousands of crumbs ends the connection', async (t) => {
  const { pds, h } = await connect(t);
  pds.last.socket.setNoDelay(true);
  pds.last.socket.write(Buffer.from('827f00000000001e8480', 'hex'));
  for (let i = 0; i < 6000 && h.stats().state === 'open'; i++) {
    pds.last.socket.write('crumb');
    await nextTurn();
  }
  await until(() => h.stats().state === 'backoff');
  t.match(h.stats(), {
    lastError: { cause: 'protocol', detail: 'WS_ERR_TOO_MANY_BUFFERED_PARTS' },
  });
});

t.test('D30: a host that ignores our close frame holds the socket for a second', async (t) => {
  const sockets = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
  const { pds, h } = await connect(t);
  const before = sockets();
  pds.last.ws.send('text');
  pds.last.ws.pause();
  await until(() => h.stats().state === 'backoff');
  t.equal(sockets(), before, 'the close handshake is under way');
  await settle(1200);
  t.equal(sockets(), before - 1, 'only the other side is left');
});

t.test('S27, S32: compressed and masked frames end the connection', async (t) => {
  const masked = Buffer.from('828100000000ff', 'hex');
  for (const bytes of [rawFrame(0xc2, Buffer.from('a')), masked, Buffer.from('8f00', 'hex')]) {
    const { pds, h } = await connect(t);
    pds.last.socket.write(bytes);
    await until(() => h.stats().state === 'backoff');
    t.equal(h.metrics.read('relay_upstream_disconnects_total:protocol'), 1);
  }
});

t.test('S28: a ping flood ends the connection; ten a second do not', async (t) => {
  const { pds, h } = await connect(t);
  const pings = (count: number): Buffer =>
    Buffer.concat(Array.from({ length: count }, () => rawFrame(0x89, Buffer.from('x'))));
  let pongs = 0;
  pds.last.ws.on('pong', () => pongs++);
  pds.last.socket.write(pings(10));
  await until(() => pongs === 10, 'pongs');
  await h.pass(SECOND_MS);
  pds.last.socket.write(pings(10));
  await until(() => pongs === 20, 'pongs');
  t.equal(h.stats().state, 'open');
  pds.last.socket.write(pings(1000));
  await until(() => h.stats().state === 'backoff');
  t.equal(h.metrics.read('relay_upstream_disconnects_total:ping_flood'), 1);
});

t.test('C14: close frame, end, reset and silence have a count each', async (t) => {
  const ends: [cause: 'closed' | 'abnormal' | 'reset', how: (pds: Pds) => void][] = [
    ['closed', (pds) => pds.last.ws.close(1001)],
    ['closed', (pds) => pds.last.ws.close(1011, 'oops')],
    ['abnormal', (pds) => pds.last.socket.end()],
    ['reset', (pds) => pds.last.socket.resetAndDestroy()],
  ];
  for (const [cause, how] of ends) {
    const { pds, h } = await connect(t);
    how(pds);
    await until(() => h.stats().state === 'backoff');
    t.equal(h.metrics.read(`relay_upstream_disconnects_total:${cause}`), 1, cause);
    t.equal(h.stats().lastError?.cause, cause);
  }
});

t.test('C14: the host is told why, where it can hear it', async (t) => {
  const { pds, h } = await connect(t);
  const closed = new Promise<string>((resolve) =>
    pds.last.ws.on('close', (code, reason) => resolve(`${code} ${reason}`)),
  );
  pds.last.ws.send('text');
  t.equal(await closed, '1008 frame_not_binary');
  await until(() => h.stats().state === 'backoff');
});

t.test('after the end of a connection nothing of its last chunk is taken', async (t) => {
  const { pds, h } = await connect(t);
  const frames = [rawFrame(0x81, Buffer.from('text')), burst([eventFrame(101)])];
  pds.last.socket.write(Buffer.concat(frames));
  await until(() => h.stats().state === 'backoff');
  await settle();
  t.same(h.sink.taken, []);
});

t.test('G26: the chunk that ends a connection leaves no bytes in the budget', async (t) => {
  const { pds, h } = await connect(t);
  const begun = Buffer.from('827f00000000001e8480', 'hex');
  pds.last.socket.write(Buffer.concat([rawFrame(0x81, Buffer.from('text')), begun]));
  await until(() => h.stats().state === 'backoff');
  await h.pass(SECOND_MS);
  t.equal(h.metrics.read('relay_upstream_unfinished_bytes'), 0);
});

t.test('S28: pings that collected at a paused socket are answered, no flood', async (t) => {
  const { pds, h } = await connect(t, COARSE);
  let pongs = 0;
  pds.last.ws.on('pong', () => pongs++);
  h.sink.roomLeft = 0;
  pds.last.ws.send(eventFrame(101));
  await until(() => h.stats().state === 'paused');
  await settle();
  // One every half minute, for ten minutes.
  for (let i = 0; i < 20; i++) pds.last.ws.ping();
  await h.pass(10 * MINUTE_MS);
  t.equal(pongs, 0);
  h.sink.roomLeft = 10;
  await h.pass(SECOND_MS);
  await until(() => pongs === 20, 'pongs');
  t.match(h.stats(), { state: 'open', connects: 1 });
});

t.test('G26: a message that does not end is given a minute, pings do not prolong it', async (t) => {
  const { pds, h } = await connect(t);
  pds.last.socket.write(rawFrame(0x02, Buffer.from('a')));
  await until(() => h.stats().bytesUnfinished === 3);
  for (let i = 1; i <= 6; i++) {
    await h.pass(9.9 * SECOND_MS);
    t.equal(h.stats().state, 'open', `${i}`);
    const more = [rawFrame(0x89, Buffer.from('ping')), rawFrame(0x00, Buffer.from('b'))];
    pds.last.socket.write(Buffer.concat(more));
    await until(() => h.stats().bytesUnfinished === 3 + 3 * i);
  }
  await h.pass(700);
  t.match(h.stats(), { state: 'backoff', lastError: { cause: 'unfinished' } });
});

t.test('G26: the time of an unfinished message stands still while paused', async (t) => {
  const { pds, h } = await connect(t, COARSE);
  h.sink.roomLeft = 0;
  const half = Buffer.from('827f00000000001e8480', 'hex');
  pds.last.socket.write(Buffer.concat([burst([eventFrame(101)]), half]));
  await until(() => h.stats().state === 'paused' && h.stats().bytesUnfinished === 10);
  await h.pass(10 * MINUTE_MS);
  t.equal(h.stats().state, 'paused');
  h.sink.roomLeft = 10;
  await h.pass(2 * SECOND_MS);
  t.equal(h.stats().state, 'open');
  let seconds = 2;
  for (; h.stats().state === 'open' && seconds < 100; seconds++) await h.pass(SECOND_MS);
  t.match(h.stats(), { lastError: { cause: 'unfinished' } });
  t.ok(seconds >= 59 && seconds <= 62, `${seconds}`);
});

t.test('G26: unfinished bytes of all hosts have a budget; the oldest message goes', async (t) => {
  const pds = await startPds(t);
  const h = new Harness(t, { unfinishedBytesMax: 50_000 });
  for (const hostId of [1, 2, 3]) {
    h.fleet.add(hostOf(pds, { hostId }));
    await until(() => pds.connections.length === hostId);
    const header = Buffer.from('827f00000000001e8480', 'hex');
    pds.last.socket.write(Buffer.concat([header, Buffer.alloc(20_000)]));
    await until(() => h.stats(hostId).state === 'backoff' || h.stats(hostId).bytesUnfinished > 0);
    await h.pass(SECOND_MS);
  }
  t.match(h.stats(1), { lastError: { cause: 'unfinished' } }, 'the first host is the oldest');
  t.equal(h.stats(2).bytesUnfinished, 20_010);
  t.equal(h.stats(3).bytesUnfinished, 20_010);
  h.fleet.disconnect(2);
  h.fleet.disconnect(3);
  await h.pass(SECOND_MS);
  t.equal(h.metrics.read('relay_upstream_unfinished_bytes'), 0, 'all of it is given back');
});

t.test('G9: after kill -9 the replay is filtered by what the log has', async (t) => {
  const frames = [101, 102, 103, 104, 105].map((seq) => eventFrame(seq));
  const pds = await startPds(t, {
    onConnection: ({ ws }) => {
      for (const frame of frames) ws.send(frame);
    },
  });
  const h = new Harness(t);
  const hash = { lo: 0, hi: 0 };
  didHashOfText(DID, hash);
  for (const index of [3, 0, 1]) {
    h.replay.add(1, 100, {
      hostSeq: 101 + index,
      upstreamCrc: crc32(frames[index] as Buffer),
      didHashLo: hash.lo,
      didHashHi: hash.hi,
    });
  }
  h.fleet.add(hostOf(pds));
  await until(() => h.sink.taken.length === 1);
  t.same(h.sink.seqs(), [105], 'what is new is judged');
  t.equal(h.metrics.read('relay_upstream_skipped_frames_total'), 3, 'what is in the log is not');
  t.equal(h.metrics.readReject('host_replayed_late', 'trusted'), 1, '103 was rejected before');
  t.equal(h.replay.entryCount, 0);
  t.same(h.fleet.cursors.takeChanged(), [{ hostId: 1, hostSeq: 105 }]);
});

t.test('H11, G9: a host that lost its numbering is not judged by what the log has', async (t) => {
  const pds = await startPds(t, {
    onConnection: ({ ws, cursor }) => {
      if (cursor === '100') ws.send(errorFrame('FutureCursor'));
      else for (const seq of [1, 103]) ws.send(eventFrame(seq));
    },
  });
  const h = new Harness(t);
  const hash = { lo: 0, hi: 0 };
  didHashOfText(DID, hash);
  const inLog = { hostSeq: 105, upstreamCrc: 1, didHashLo: hash.lo, didHashHi: hash.hi };
  h.replay.add(1, 100, inLog);
  h.fleet.add(hostOf(pds));
  await until(() => h.stats().state === 'backoff');
  await h.retry();
  await until(() => h.sink.taken.length === 2);
  t.same(h.sink.seqs(), [1, 103]);
  t.equal(h.metrics.readReject('host_replayed_late', 'trusted'), 0);
});

t.test('strikes and closes that verify threads report count like our own', async (t) => {
  const { h } = await connect(t);
  h.fleet.penalize(1, 'commit_rev_stale', 5);
  h.fleet.penalize(1, 'wire_cbor_bad', 6);
  h.fleet.penalize(1, 'wire_cbor_bad', 7);
  t.match(h.stats(), { state: 'open', strikes: 2 });
  h.fleet.penalize(1, 'wire_cbor_bad', 8);
  t.match(h.stats(), { state: 'backoff', lastError: { cause: 'strikes' } });
  t.same(
    h.stats().lastRejects.map(({ hostSeq }) => hostSeq),
    [5, 6, 7, 8],
  );
});

t.test('H16: a host that is poison for ever is dialled ever less often', async (t) => {
  let count = 0;
  const pds = await startPds(t, { onConnection: ({ ws }) => ws.send(`poison ${count++}`) });
  const h = new Harness(t, COARSE);
  h.fleet.add(hostOf(pds));
  const waits: number[] = [];
  for (let i = 0; i < 16; i++) {
    await until(() => h.stats().state === 'backoff');
    waits.push(Math.round(h.stats().nextRetryInMs ?? 0));
    await h.retry();
    await until(() => pds.connections.length === i + 2);
  }
  t.ok((waits[0] ?? 0) <= SECOND_MS);
  t.ok((waits[15] ?? 0) >= 15 * MINUTE_MS && (waits[15] ?? 0) <= 30 * MINUTE_MS, `${waits[15]}`);
});
