/**
 * Who becomes a consumer: an upgrade request in, a 101 and a place in the hub out, or an HTTP
 * error before the 101 (FR-2, S30). Owns the websocket server and the limits on connections; does
 * not know routes, proxies or how frames get to a consumer.
 * @thread main
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Clock } from '../base/clock.ts';
import { KiB, SECOND_MS } from '../base/units.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { encodeInfoFrame } from '../wire/control.ts';
import { AddressBudget } from './address-budget.ts';
import { addressKey } from './address-key.ts';
import { Consumer, type ConsumerEvents } from './consumer.ts';
import { decideStart, parseCursor, type Start } from './cursor.ts';
import { endFlood, endFuture } from './endings.ts';
import { type Refusal, refuseUpgrade, SERVER_HEADER } from './handshake.ts';
import type { Hub } from './hub.ts';

export type AdmissionOptions = {
  readonly consumersMax: number;
  readonly consumersPerAddressMax: number;
  /** New connections of one address per second, and at once. */
  readonly connectsPerSecond: number;
  readonly connectsBurst: number;
  /** What a consumer may send us: it is ignored, but not without limit (S29). */
  readonly framesPerSecondMax: number;
  readonly frameBytesPerSecondMax: number;
  readonly closeMsMax: number;
};

export const ADMISSION_DEFAULTS: AdmissionOptions = {
  consumersMax: 2000,
  consumersPerAddressMax: 20,
  connectsPerSecond: 2,
  connectsBurst: 60,
  framesPerSecondMax: 10,
  frameBytesPerSecondMax: 4 * KiB,
  closeMsMax: 4 * SECOND_MS,
};

export type AdmissionDeps = {
  readonly clock: Clock;
  readonly metrics: MetricWriter;
  readonly hub: Hub;
  readonly oldestSeq: () => number;
};

const USER_AGENT_CHARS_MAX = 256;
const PAYLOAD_BYTES_MAX = 4 * KiB;
const FRAGMENTS_MAX = 64;
const BUFFERED_CHUNKS_MAX = 1024;
const KEEP_ALIVE_MS = 60 * SECOND_MS;
const CAPACITY_RETRY_SECONDS = 30;
const NOT_READY_RETRY_SECONDS = 5;
/** The one sub-protocol we speak; without this hook `ws` would echo whatever is offered (FR-15). */
const SUBPROTOCOL = 'xrpc.v0.cbor';

type RefusalCause = 'cursor' | 'capacity' | 'rate' | 'not_ready';

export class Admission implements ConsumerEvents {
  readonly #options: AdmissionOptions;
  readonly #deps: AdmissionDeps;
  readonly #server: WebSocketServer;
  readonly #connects: AddressBudget;
  readonly #perAddress = new Map<string, number>();
  #lastId = 0;
  #isDraining = false;

  constructor(options: AdmissionOptions, deps: AdmissionDeps) {
    this.#options = options;
    this.#deps = deps;
    const { connectsPerSecond: perSecond, connectsBurst: burst } = options;
    this.#connects = new AddressBudget(deps.clock, { perSecond, burst });
    // `closeTimeout` is not in the types yet, hence the variable.
    const serverOptions = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: PAYLOAD_BYTES_MAX,
      maxFragments: FRAGMENTS_MAX,
      maxBufferedChunks: BUFFERED_CHUNKS_MAX,
      skipUTF8Validation: true,
      // The hub resets before this; a plain destroy would leave the send buffer in the kernel.
      closeTimeout: 2 * options.closeMsMax,
      handleProtocols: (offered: Set<string>) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    } as const;
    this.#server = new WebSocketServer(serverOptions);
    this.#server.on('headers', (headers) => headers.push(`Server: ${SERVER_HEADER}`));
    this.#server.on('wsClientError', (error, socket) => {
      const headers = { 'Sec-WebSocket-Version': '13' };
      refuseUpgrade(socket, {
        status: 400,
        name: 'InvalidRequest',
        message: error.message,
        headers,
      });
    });
  }

  /** From now on nobody is let in: 503 with Retry-After (G25). */
  drain(): void {
    this.#isDraining = true;
  }

  /** Connections of one address now (IPv6: of its /64). */
  countOf(address: string): number {
    return this.#perAddress.get(addressKey(address)) ?? 0;
  }

  /** Answers one upgrade request on the subscribeRepos path. Never throws, whatever was sent. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, address: string): void {
    // Until `ws` takes over, nobody else listens, and a reset would end the process.
    socket.on('error', () => socket.destroy());
    const cursor = parseCursor(queryOf(request.url));
    if (cursor === 'bad') {
      this.#refuse(socket, 'cursor', BAD_CURSOR);
      return;
    }
    const [cause, refusal] = this.#limitFor(addressKey(address));
    if (refusal !== undefined) {
      this.#refuse(socket, cause, refusal);
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (ws) => {
      // Noted before anything is sent: a connection that is reset in this very turn is counted
      // out again by its close event (C2).
      const start = decideStart(cursor, this.#deps.oldestSeq(), this.#deps.hub.headSeq());
      this.#admit(ws, request, socket as Socket, address, start);
    });
  }

  onWritable(consumer: Consumer): void {
    this.#deps.hub.onWritable(consumer);
  }

  /** Frames of clients mean nothing (FR-8) and are counted: many of them are an attack. */
  onFrame(consumer: Consumer, frameBytes: number): void {
    const nowMs = this.#deps.clock.monoMs();
    if (nowMs - consumer.frameWindowMs >= SECOND_MS) {
      consumer.frameWindowMs = nowMs;
      consumer.frameCount = 0;
      consumer.frameBytes = 0;
    }
    consumer.frameCount++;
    consumer.frameBytes += frameBytes;
    const { framesPerSecondMax, frameBytesPerSecondMax } = this.#options;
    const isFlood = consumer.frameCount > framesPerSecondMax;
    if (!isFlood && consumer.frameBytes <= frameBytesPerSecondMax) return;
    endFlood(consumer, nowMs);
  }

  onGone(consumer: Consumer): void {
    const key = consumer.info.addressKey;
    const left = (this.#perAddress.get(key) ?? 1) - 1;
    if (left > 0) this.#perAddress.set(key, left);
    else this.#perAddress.delete(key);
    this.#deps.hub.onGone(consumer);
  }

  #admit(
    ws: WebSocket,
    request: IncomingMessage,
    socket: Socket,
    address: string,
    start: Start,
  ): void {
    const { clock, hub, metrics } = this.#deps;
    const key = addressKey(address);
    const nowMs = clock.monoMs();
    const info = {
      id: ++this.#lastId,
      address,
      addressKey: key,
      userAgent: (request.headers['user-agent'] ?? '').slice(0, USER_AGENT_CHARS_MAX),
      connectedMs: clock.epochMs(),
    };
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const seq = start.kind === 'from' ? start.seq : hub.headSeq();
    const consumer = new Consumer(info, ws, socket, seq, nowMs, this);
    this.#perAddress.set(key, (this.#perAddress.get(key) ?? 0) + 1);
    if (start.kind === 'from' && start.isOutdated) {
      metrics.add('relay_broadcast_outdated_cursors_total');
      consumer.writeInfo(encodeInfoFrame('OutdatedCursor', OUTDATED));
    }
    hub.add(consumer, nowMs);
    if (start.kind === 'future') endFuture(consumer, hub.closeDeadlineMs());
  }

  #limitFor(key: string): readonly [RefusalCause, Refusal | undefined] {
    const { hub } = this.#deps;
    if (this.#isDraining || !hub.isLogOpen()) return ['not_ready', NOT_READY];
    const waitSeconds = this.#connects.take(key);
    if (waitSeconds > 0) return ['rate', tooMany('too many connection attempts', waitSeconds)];
    if (hub.size >= this.#options.consumersMax) {
      return ['capacity', tooMany('too many consumers', CAPACITY_RETRY_SECONDS)];
    }
    if ((this.#perAddress.get(key) ?? 0) >= this.#options.consumersPerAddressMax) {
      return ['capacity', tooMany('too many consumers at this address', CAPACITY_RETRY_SECONDS)];
    }
    return ['capacity', undefined];
  }

  #refuse(socket: Duplex, cause: RefusalCause, refusal: Refusal): void {
    this.#deps.metrics.add(`relay_broadcast_refused_total:${cause}`);
    refuseUpgrade(socket, refusal);
  }
}

const OUTDATED = 'the cursor is older than what is kept; the stream begins with the oldest event';

const BAD_CURSOR: Refusal = {
  status: 400,
  name: 'InvalidRequest',
  message: 'cursor must be one whole number in 0 … 2^53-1',
};

const NOT_READY: Refusal = {
  status: 503,
  name: 'NotEnoughResources',
  message: 'the relay is starting or stopping',
  headers: { 'Retry-After': String(NOT_READY_RETRY_SECONDS) },
};

function tooMany(message: string, retrySeconds: number): Refusal {
  const headers = { 'Retry-After': String(retrySeconds) };
  return { status: 429, name: 'RateLimitExceeded', message, headers };
}

function queryOf(url: string | undefined): string {
  const at = url?.indexOf('?') ?? -1;
  return at < 0 ? '' : (url ?? '').slice(at + 1);
}
