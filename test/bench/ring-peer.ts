/** The other thread of ring.bench.ts: reads what it is ordered to, in place, and says how far. */
import { parentPort, workerData } from 'node:worker_threads';
import { RingConsumer } from '../../lib/ring/consumer.ts';
import { IngestRecord } from '../../lib/ring/ingest-record.ts';
import { Words } from '../../lib/shared/regions.ts';
import { FRAME_BYTES, type RingOrder } from './ring.bench.ts';

const ANSWER_FRAMES = 256;
/** Given back at a time, as a verify thread does after a pass. */
const RELEASE_FRAMES = 256;

const ring = new RingConsumer(workerData.ring);
const words = new Words(workerData.words);
const ownBell = words.shardBell(0);
const mainBell = words.bell('bellMain');
const record = new IngestRecord();
const port = parentPort as NonNullable<typeof parentPort>;
let readCount = 0;
let answeredCount = 0;
let wantedCount = 0;
/** Something that depends on every frame: nothing of the work can be left out. */
let sum = 0;

function note(frameCount: number): void {
  readCount += frameCount;
  if (readCount - answeredCount < ANSWER_FRAMES && readCount < wantedCount) return;
  answeredCount = readCount;
  port.postMessage({ readCount, sum });
}

function readRing(): void {
  for (let count = 1; readCount < wantedCount; count++) {
    const at = ring.poll();
    if (at >= 0) {
      record.read(ring.bytes, at, ring.payloadBytes);
      sum += ring.bytes.readUInt8(record.frameStart);
      readCount += 1;
      if (count % RELEASE_FRAMES !== 0) continue;
    }
    ring.release();
    mainBell.ring();
    if (at >= 0) continue;
    ownBell.arm();
    if (ring.pendingBytes() > 0) ownBell.disarm();
    else ownBell.waitBlocking(100);
  }
  ring.release();
  mainBell.ring();
  port.postMessage({ readCount, sum });
}

port.on('message', (message: RingOrder | Uint8Array) => {
  if (message instanceof Uint8Array) {
    for (let at = 0; at < message.length; at += FRAME_BYTES) sum += message[at] as number;
    note(message.length / FRAME_BYTES);
    return;
  }
  readCount = 0;
  answeredCount = 0;
  wantedCount = message.frameCount;
  if (message.kind === 'ring') readRing();
});
