/** A hub with real sockets around it, fed by a log in memory. */
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { SystemClock } from '../../lib/base/clock.ts';
import { MiB } from '../../lib/base/units.ts';
import {
  ADMISSION_DEFAULTS,
  Admission,
  type AdmissionOptions,
} from '../../lib/broadcast/admission.ts';
import type { ArrivalSource } from '../../lib/broadcast/delivery.ts';
import { Hub } from '../../lib/broadcast/hub.ts';
import { HUB_DEFAULTS, type HubOptions } from '../../lib/broadcast/hub-options.ts';
import type { LogCursor, LogSource } from '../../lib/broadcast/replays.ts';
import type { CursorRead } from '../../lib/log/cursor.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { CATALOG } from '../../lib/metrics/catalog.ts';
import { METRIC_SLOT_COUNT, MetricWriter, metricSlot } from '../../lib/metrics/slots.ts';
import {
  COMMIT_BYTES,
  CommitReader,
  CommitView,
  CommitWriter,
} from '../../lib/shared/commit-cell.ts';
import { allocateShared } from '../../lib/shared/memory.ts';
import { allocateTailRing, TailReader, TailWriter } from '../../lib/shared/tail-ring.ts';
import { wrapMessage } from '../../lib/wire/ws-frame.ts';

/** The bytes of event `seq`: seq, then filling that differs per seq. */
export function messageOf(seq: number, bytes: number): Buffer {
  const message = Buffer.alloc(Math.max(8, bytes), seq & 0xff);
  message.writeDoubleBE(seq, 0);
  return message;
}

export function seqOf(message: Buffer): number {
  return message.readDoubleBE(0);
}

/** What persist would keep on disk, with its oldest end moving up. */
export class MemoryLog implements LogSource {
  readonly frames = new Map<number, Buffer>();
  firstSeq: number;
  lastSeq: number;
  isBroken = false;
  hidden = new Set<number>();
  opens = 0;
  closes = 0;
  nexts = 0;
  readonly delayMs: number;

  constructor(firstSeq: number, delayMs = 0) {
    this.firstSeq = firstSeq;
    this.lastSeq = firstSeq - 1;
    this.delayMs = delayMs;
  }

  open(seqExclusive: number): LogCursor {
    this.opens++;
    let seq = seqExclusive;
    return {
      next: async (bytesMax): Promise<CursorRead> => {
        this.nexts++;
        await new Promise((resolve) => setTimeout(resolve, this.delayMs));
        if (this.isBroken) throw new Error('checksum');
        if (seq + 1 < this.firstSeq) return { kind: 'gone' };
        const parts: Buffer[] = [];
        let bytes = 0;
        while (seq < this.lastSeq && (bytes === 0 || bytes < bytesMax)) {
          const frame = this.frames.get(seq + 1);
          seq++;
          if (frame === undefined || this.hidden.has(seq)) continue;
          if (bytes > 0 && bytes + frame.length > bytesMax) {
            seq--;
            break;
          }
          parts.push(frame);
          bytes += frame.length;
        }
        if (bytes === 0 && parts.length === 0 && seq >= this.lastSeq && this.hidden.size === 0) {
          return { kind: 'end' };
        }
        return { kind: 'frames', bytes: Buffer.concat(parts), lastSeq: seq };
      },
      close: () => {
        this.closes++;
      },
    };
  }
}

export type WorldOptions = {
  readonly hub?: Partial<HubOptions>;
  readonly admission?: Partial<AdmissionOptions>;
  readonly tailBytes?: number;
  readonly lastSeq?: number;
  readonly logDelayMs?: number;
  readonly log?: LogSource;
  /** Makes frames durable somewhere else and notes where they end. */
  readonly store?: (frames: readonly Buffer[], view: CommitView) => void;
  readonly oldestSeq?: () => number;
  readonly arrivals?: ArrivalSource;
  readonly address?: () => string;
};

export class World {
  readonly clock = new SystemClock();
  readonly #page = new Float64Array(METRIC_SLOT_COUNT);
  readonly metrics = new MetricWriter(this.#page);
  readonly log: MemoryLog;
  readonly hub: Hub;
  readonly admission: Admission;
  readonly server: Server;
  readonly tail: TailWriter;
  readonly tailMemory: SharedArrayBuffer;
  readonly published: number[] = [];
  readonly commits: CommitWriter;
  readonly view = new CommitView();
  readonly #store: WorldOptions['store'];
  polls = 0;
  address: () => string;
  #isScheduled = false;
  #isStopped = false;
  /** No poll while set: what happens between two duty cycles. */
  isHeld = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: WorldOptions = {}) {
    const memory = allocateShared(COMMIT_BYTES);
    this.commits = new CommitWriter(memory);
    this.tailMemory = allocateTailRing(options.tailBytes ?? MiB);
    this.tail = new TailWriter(this.tailMemory);
    this.log = new MemoryLog((options.lastSeq ?? 0) + 1, options.logDelayMs);
    this.#store = options.store;
    const oldestSeq = options.oldestSeq ?? ((): number => this.log.firstSeq);
    this.address = options.address ?? (() => '127.0.0.1');
    this.view.segmentFirstSeq = 1;
    this.view.lastSeq = this.log.lastSeq;
    this.publish();
    this.hub = new Hub(
      { ...HUB_DEFAULTS, ...options.hub },
      {
        clock: this.clock,
        logger: silentLogger,
        metrics: this.metrics,
        commits: new CommitReader(memory),
        tail: new TailReader(this.tailMemory),
        log: options.log ?? this.log,
        ...(options.arrivals === undefined ? {} : { arrivals: options.arrivals }),
        oldestSeq,
        onPublished: (seq) => this.published.push(seq),
        wake: () => this.drive(),
      },
    );
    const open = { connectsPerSecond: 1e6, connectsBurst: 1e6, consumersPerAddressMax: 1e6 };
    this.admission = new Admission(
      { ...ADMISSION_DEFAULTS, ...open, ...options.admission },
      {
        clock: this.clock,
        metrics: this.metrics,
        hub: this.hub,
        oldestSeq,
      },
    );
    this.server = createServer((_, response) => response.end());
    this.server.on('upgrade', (request, socket, head) => {
      this.admission.handleUpgrade(request, socket, head, this.address());
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.drive();
    return this;
  }

  /** Sum of the sampled times of delivery. */
  deliverySeconds(): number {
    const name = 'relay_broadcast_delivery_seconds';
    return this.#page[metricSlot(name) + CATALOG[name].buckets.length + 1] ?? 0;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Appends events as one batch and commits it. */
  append(count: number, bytes: number | ((seq: number) => number) = 100): void {
    const frames: Buffer[] = [];
    for (let i = 0; i < count; i++) {
      const seq = this.log.lastSeq + 1;
      const frame = wrapMessage(messageOf(seq, typeof bytes === 'number' ? bytes : bytes(seq)));
      if (this.#store === undefined) this.log.frames.set(seq, frame);
      frames.push(frame);
      this.log.lastSeq = seq;
      this.tail.write(frame, 0, frame.length);
    }
    this.#store?.(frames, this.view);
    this.view.lastSeq = this.log.lastSeq;
    this.view.tailEnd = this.tail.end;
    this.publish();
    this.drive();
  }

  publish(): void {
    this.commits.fill(this.view);
    this.commits.publish();
  }

  /** Retention: everything below `firstSeq` is gone. */
  retire(firstSeq: number): void {
    for (let seq = this.log.firstSeq; seq < firstSeq; seq++) this.log.frames.delete(seq);
    this.log.firstSeq = firstSeq;
  }

  drive(): void {
    if (this.#isScheduled || this.#isStopped || this.isHeld) return;
    this.#isScheduled = true;
    clearTimeout(this.#timer);
    setImmediate(() => {
      this.#isScheduled = false;
      if (this.#isStopped) return;
      this.polls++;
      this.hub.poll(this.clock.monoMs());
      const waitMs = this.hub.waitMs(this.clock.monoMs());
      if (waitMs === 0) this.drive();
      else this.#timer = setTimeout(() => this.drive(), waitMs);
    });
  }

  async stop(): Promise<void> {
    for (const consumer of this.hub.consumers) consumer.reset('admin');
    await until(() => this.hub.size === 0);
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export async function until(check: () => boolean, timeoutMs = 5000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!check()) {
    if (performance.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A consumer that checks the order of what it gets (G2, G5). */
export class Client {
  readonly ws: WebSocket;
  readonly messages: Buffer[] = [];
  seqs: number[] = [];
  closeCode = 0;
  closeReason = '';
  isOpen = false;
  httpStatus = 0;
  httpHeaders: Record<string, string | string[] | undefined> = {};
  httpBody = '';
  /** Frames without a seq (info, error) have a map head of at most this many bytes. */
  readonly closed: Promise<void>;

  constructor(
    port: number,
    query = '',
    options: WebSocket.ClientOptions = {},
    protocols?: string[],
  ) {
    const url = `ws://127.0.0.1:${port}/xrpc/com.atproto.sync.subscribeRepos${query}`;
    this.ws = new WebSocket(url, protocols ?? [], { perMessageDeflate: false, ...options });
    this.ws.on('open', () => {
      this.isOpen = true;
    });
    this.ws.on('error', () => {});
    this.closed = new Promise((resolve) => {
      this.ws.on('close', (code, reason) => {
        this.closeCode = code;
        this.closeReason = reason.toString();
        resolve();
      });
      this.ws.on('unexpected-response', (_, response) => {
        this.httpStatus = response.statusCode ?? 0;
        this.httpHeaders = response.headers;
        response.on('data', (data) => {
          this.httpBody += String(data);
        });
        response.on('end', () => {
          this.ws.terminate();
          resolve();
        });
      });
    });
    this.ws.on('message', (data: Buffer) => {
      // Ours begin with a double ≥ 1, hence 0x3f or 0x40…; DRISL headers are maps (0xa1, 0xa2).
      if ((data[0] ?? 0) >= 0xa0) this.messages.push(data);
      else this.seqs.push(seqOf(data));
    });
  }

  async open(): Promise<this> {
    await until(() => this.isOpen || this.httpStatus > 0);
    return this;
  }

  get lastSeq(): number {
    return this.seqs.at(-1) ?? 0;
  }

  /** Empty when the seqs are exactly `from … to`, each once, in order. */
  faults(from: number, to: number): string[] {
    const faults: string[] = [];
    let expected = from;
    for (const seq of this.seqs) {
      if (seq !== expected && faults.length < 5) faults.push(`expected ${expected}, got ${seq}`);
      expected = seq + 1;
    }
    if (expected !== to + 1) faults.push(`ends at ${expected - 1}, not ${to}`);
    return faults;
  }
}

/** A websocket handshake by hand, for clients that do not read. */
export async function rawClient(port: number, query = ''): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.write(handshake(query));
  return socket;
}

export function handshake(query = ''): string {
  return [
    `GET /xrpc/com.atproto.sync.subscribeRepos${query} HTTP/1.1`,
    'Host: relay',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    '\r\n',
  ].join('\r\n');
}

/** A client frame: masked with zeros. */
export function clientFrame(opcode: number, payload = Buffer.alloc(0), isLast = true): Buffer {
  const header = [(isLast ? 0x80 : 0) | opcode];
  if (payload.length < 126) header.push(0x80 | payload.length);
  else header.push(0x80 | 126, payload.length >> 8, payload.length & 0xff);
  return Buffer.concat([Buffer.from([...header, 0, 0, 0, 0]), payload]);
}
