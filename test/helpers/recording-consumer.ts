/**
 * A consumer that writes down what it got, checks that seq rises, and reconnects with its cursor
 * like a careful client. It keeps digests, not frames.
 */
import { createHash } from 'node:crypto';
import WebSocket from 'ws';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import type { Kind } from '../../lib/wire/kinds.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';

export type Received = {
  readonly seq: number;
  readonly did: string;
  readonly kind: Kind;
  /** Of the frame without the value of `seq`. */
  readonly digest: string;
  /** Of all bytes. */
  readonly bytesDigest: string;
};

const peekScratch = new Peek();
const viewScratch = new EventView();

/** A frame as the checker compares it: two hosts' seqs never make it another event. */
export function describeFrame(bytes: Buffer): Received {
  if (peek(bytes, peekScratch) !== 'event') throw new Error('not an event');
  const { kind, hostSeq: seq } = peekScratch;
  const bad = decodeEvent(bytes, kind, viewScratch);
  if (bad !== undefined) throw new Error(`a consumer got a frame that does not decode: ${bad}`);
  const { did, seqStart, seqEnd } = viewScratch;
  const hash = createHash('sha1');
  hash.update(bytes.subarray(0, seqStart)).update(bytes.subarray(seqEnd));
  const bytesDigest = createHash('sha1').update(bytes).digest('base64');
  return { seq, did, kind, digest: hash.digest('base64'), bytesDigest };
}

export class RecordingConsumer {
  readonly received: Received[] = [];
  /** Info and error frames, as they came. */
  readonly controls: Buffer[] = [];
  readonly violations: string[] = [];
  /** Of every connection that ended. */
  readonly closeCodes: number[] = [];
  readonly #url: () => string;
  #socket: WebSocket | undefined;
  #isStopped = false;
  connectCount = 0;
  /** Called with every event as it came. */
  onFrame: (frame: Buffer, received: Received) => void = () => {};

  /** `url` is asked at every connect: a restarted relay has another port. */
  constructor(url: () => string, cursor?: number) {
    this.#url = url;
    this.#connect(cursor);
  }

  get lastSeq(): number {
    return this.received.at(-1)?.seq ?? 0;
  }

  stop(): void {
    this.#isStopped = true;
    this.#socket?.terminate();
  }

  /** Takes nothing more from this connection; the next one begins as usual. */
  pause(): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.pause();
  }

  resume(): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.resume();
  }

  #connect(cursor: number | undefined): void {
    if (this.#isStopped) return;
    const query = cursor === undefined ? '' : `?cursor=${cursor}`;
    const socket = new WebSocket(`${this.#url()}${query}`, { perMessageDeflate: false });
    this.#socket = socket;
    this.connectCount += 1;
    socket.on('message', (data: Buffer) => this.#onMessage(data));
    socket.on('error', () => {});
    socket.on('close', (code: number) => {
      this.closeCodes.push(code);
      const last = this.received.at(-1)?.seq;
      setTimeout(() => this.#connect(last ?? cursor ?? 0), 50);
    });
  }

  #onMessage(data: Buffer): void {
    if (peek(data, peekScratch) !== 'event') {
      this.controls.push(data);
      return;
    }
    const last = this.received.at(-1)?.seq ?? 0;
    let got: Received;
    try {
      got = describeFrame(data);
    } catch (error) {
      const begin = data.toString('latin1', 0, 300).replace(/[^ -~]/g, '.');
      this.violations.push(`after ${last}, ${data.length} bytes: ${error}: ${begin}`);
      this.#socket?.terminate();
      return;
    }
    if (last > 0 && got.seq !== last + 1) this.violations.push(`seq ${got.seq} after ${last}`);
    this.received.push(got);
    this.onFrame(data, got);
  }
}
