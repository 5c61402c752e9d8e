/**
 * A small relay in a process of its own: the real persist worker in its pool, one feeder, one
 * reader of what is published. Arguments: log directory, round, crash point (0 for none).
 * Says on stdout what it has published, one `seq hash` a line, each before the next is read.
 */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { Prng } from '../../lib/base/prng.ts';
import { MiB } from '../../lib/base/units.ts';
import type { PersistTask } from '../../lib/log/run-persist.ts';
import { RingProducer } from '../../lib/ring/producer.ts';
import { allocateRegions } from '../../lib/ring/regions.ts';
import { VERIFIED_HEADER_BYTES, writeVerifiedHeader } from '../../lib/ring/verified-record.ts';
import { allocateChaos, Chaos } from '../../lib/shared/chaos.ts';
import { CommitReader, CommitView } from '../../lib/shared/commit-cell.ts';
import { Words } from '../../lib/shared/regions.ts';
import { TailReader } from '../../lib/shared/tail-ring.ts';
import { randomBytes, splitFrames } from './log-world.ts';

const [logDirectory = '', round = '0', crashPointText = '0'] = process.argv.slice(2);
const crashPoint = Number(crashPointText);
const regions = allocateRegions({
  shardCount: 1,
  ingestRingBytes: MiB,
  verifiedRingBytes: MiB,
  heldBytes: MiB,
  tailRingBytes: 8 * MiB,
});
const chaosMemory = allocateChaos();
const task: PersistTask = {
  regions,
  logLevel: 'silent',
  logDirectory,
  segmentBytesMax: 100_000,
  segmentAgeMsMax: 3_600_000,
  retentionAgeMsMax: 3_600_000,
  retentionBytesMax: 0,
  isEmergencyRetention: false,
  nextSeqMin: 1,
  chaos: chaosMemory,
};
const pool = new Piscina({
  filename: fileURLToPath(new URL('../../workers/persist.ts', import.meta.url)),
  atomics: 'disabled',
  minThreads: 1,
  maxThreads: 1,
});
const words = new Words(regions.words);
const commit = new CommitReader(regions.commit);
const view = new CommitView();
const tail = new TailReader(regions.tail);
const prng = new Prng(1000 + Number(round));
const producer = new RingProducer(regions.verified[0] as never, () => {
  commit.read(view);
  return view.heads[0] ?? 0;
});
let shownSeq = -1;
let tailSeen = 0;
let shownCount = 0;
let offered = 0;

function offer(): void {
  const body = Buffer.concat([Buffer.from([0x01]), randomBytes(prng, 50 + prng.nextBelow(900))]);
  const at = producer.claim(VERIFIED_HEADER_BYTES + body.length);
  if (at < 0) return;
  const meta = {
    kind: 1,
    statusCode: 0,
    hostId: 1,
    ingestNo: offered,
    upstreamCrc: 1,
    didHashLo: 1,
    didHashHi: 1,
  };
  const frameAt = writeVerifiedHeader(producer.bytes, at, {
    ...meta,
    hostSeq: ++offered,
    arrivalMs: 1,
    seqStart: 0,
    seqEnd: 1,
  });
  body.copy(producer.bytes, frameAt);
  producer.commit();
  words.bell('bellPersist').ring();
}

function showPublished(): void {
  if (!commit.read(view)) return;
  const bytes = (view.tailEnd - tailSeen) | 0;
  const piece = Buffer.alloc(bytes);
  if (!tail.copy(tailSeen, view.tailEnd, piece)) throw new Error('overrun');
  tailSeen = view.tailEnd;
  for (const frame of splitFrames(piece)) {
    const hash = createHash('sha256').update(frame).digest('hex').slice(0, 16);
    writeSync(1, `${++shownSeq} ${hash}\n`);
    shownCount++;
  }
}

/** Waits for the log to be open, then feeds and shows until the end. */
function turn(): void {
  if (shownSeq < 0) {
    if (commit.read(view)) shownSeq = view.lastSeq;
    setImmediate(turn);
    return;
  }
  for (let k = prng.nextBelow(4); k > 0; k--) offer();
  showPublished();
  if (shownCount > 60 && crashPoint > 0) {
    new Chaos(chaosMemory).request('persistCrash', crashPoint);
  }
  if (shownCount > 400 && round === 'last') words.writer('stop').publish(1);
  else setTimeout(turn, 1);
}

const ending = pool.run(task);
turn();
await ending;
showPublished();
writeSync(1, 'stopped\n');
process.exit(0);
