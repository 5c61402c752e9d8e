/**
 * One open websocket to a host. Owns everything that lives as long as it does: listeners, ping and
 * idle time, the budget for control frames, the count of unfinished bytes; all of it ends in one
 * place (D30). Tells its owner of messages and, once, of the end with its cause (C14). Knows no
 * frames, no cursor, no reconnect.
 * @thread main
 */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Clock } from '../base/clock.ts';
import { errorCode, errorText } from '../base/fault.ts';
import { SECOND_MS } from '../base/units.ts';
import type { Ticker } from './idle.ts';
import { ControlBudget, Pulse, ReadingTime } from './pulse.ts';
import { FrameWalker, type UnfinishedBudget } from './unfinished.ts';

/** Why a connection ended; the label of relay_upstream_disconnects_total. */
export type EndCause =
  /** The host sent a close frame. */
  | 'closed'
  /** The stream ended without one. */
  | 'abnormal'
  | 'reset'
  /** A fault of the websocket protocol. */
  | 'protocol'
  /** A message over 5,000,000 bytes. */
  | 'too_large'
  | 'error_frame'
  /** Silent, two pings included. */
  | 'idle'
  | 'strikes'
  /** A frame whose reject code says `close`. */
  | 'reject'
  | 'ping_flood'
  /** A message whose end did not come, or too many of them. */
  | 'unfinished'
  /** By us: stopped, banned, removed. */
  | 'stopped';

export type ConnectionEnd = {
  readonly cause: EndCause;
  readonly detail: string;
  /** The message itself cannot pass, whatever its position: it has no bytes here to compare. */
  readonly isUnreadable?: boolean;
};

export interface ConnectionOwner {
  /** The frame is a view of the socket's chunk: it stays valid, nothing writes into it again. */
  onMessage(frame: Buffer, isBinary: boolean): void;
  /** Once. Nothing else is called afterwards. */
  onEnded(end: ConnectionEnd): void;
  /** Unfinished bytes of all hosts are over their budget: somebody must go. */
  onBudgetOver(): void;
}

export type ConnectionOptions = {
  readonly pingMs: number;
  readonly idleMs: number;
  readonly controlFramesPerSecond: number;
  /** How long one message may take to arrive whole. */
  readonly unfinishedMs: number;
};

export const CONNECTION_DEFAULTS: ConnectionOptions = {
  pingMs: 30 * SECOND_MS,
  idleMs: 75 * SECOND_MS,
  controlFramesPerSecond: 10,
  unfinishedMs: 60 * SECOND_MS,
};

export type ConnectionDeps = {
  readonly clock: Clock;
  readonly ticker: Ticker;
  readonly unfinished: UnfinishedBudget;
};

/** Close codes we send; null ends the socket at once, without a word. */
const CLOSE_CODE: Readonly<Record<EndCause, number | null>> = {
  closed: null,
  abnormal: null,
  reset: null,
  protocol: null,
  too_large: null,
  error_frame: 1000,
  idle: null,
  strikes: 1008,
  reject: 1008,
  ping_flood: null,
  unfinished: null,
  stopped: 1001,
};

const UNREADABLE_CODES: ReadonlySet<string> = new Set([
  'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
  'WS_ERR_TOO_MANY_BUFFERED_PARTS',
]);

export class Connection {
  readonly #ws: WebSocket;
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #deps: ConnectionDeps;
  readonly #options: ConnectionOptions;
  readonly #pulse: Pulse;
  readonly #control: ControlBudget;
  readonly #reading: ReadingTime;
  readonly #walker = new FrameWalker();
  /** Reading time at which the unfinished message began. */
  #unfinishedSinceMs = 0;
  /** Monotonic time of the last pause. */
  #pausedAtMs = 0;
  #socketFault = '';
  #isEnded = false;

  constructor(
    ws: WebSocket,
    socket: Socket,
    owner: ConnectionOwner,
    deps: ConnectionDeps,
    options: ConnectionOptions,
  ) {
    this.#ws = ws;
    this.#socket = socket;
    this.#owner = owner;
    this.#deps = deps;
    this.#options = options;
    this.#reading = new ReadingTime(deps.ticker.nowMs);
    this.#pulse = new Pulse(0, options);
    this.#control = new ControlBudget(options.controlFramesPerSecond, deps.clock.monoMs());
    this.#listen();
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  get isPaused(): boolean {
    return this.#reading.isStopped;
  }

  get unfinishedBytes(): number {
    return this.#isEnded ? 0 : this.#walker.unfinishedBytes;
  }

  /** For how long the message in hand has been arriving, without pauses; -1 without one. */
  get unfinishedAgeMs(): number {
    if (this.unfinishedBytes === 0) return -1;
    return this.#reading.now(this.#deps.ticker.nowMs) - this.#unfinishedSinceMs;
  }

  /** When poll() has something to do, in ticker time; `Infinity` while paused. */
  get dueMs(): number {
    const isUnfinished = this.#walker.unfinishedBytes > 0;
    const endMs = isUnfinished
      ? this.#unfinishedSinceMs + this.#options.unfinishedMs
      : Number.POSITIVE_INFINITY;
    return this.#reading.toTicker(Math.min(this.#pulse.dueMs, endMs));
  }

  /** Pings, or ends a connection that is silent or does not finish its message. */
  poll(tickerMs: number): void {
    if (this.isPaused || this.#isEnded) return;
    if (this.unfinishedAgeMs >= this.#options.unfinishedMs) {
      this.end({ cause: 'unfinished', detail: 'message did not end in time' });
      return;
    }
    const verdict = this.#pulse.poll(this.#reading.now(tickerMs));
    if (verdict === 'dead') this.end({ cause: 'idle', detail: 'no answer to pings' });
    else if (verdict === 'ping') this.#ws.ping();
  }

  /** Stops reading. Messages of the chunk in hand are still delivered. */
  pause(): void {
    if (this.#isEnded || this.isPaused) return;
    this.#pausedAtMs = this.#deps.clock.monoMs();
    this.#reading.stop(this.#deps.ticker.nowMs);
    this.#ws.pause();
  }

  /** Reads on. Whatever had a deadline has as much time left as when the pause began. */
  resume(): void {
    if (this.#isEnded || !this.isPaused) return;
    this.#control.grant(this.#deps.clock.monoMs() - this.#pausedAtMs);
    this.#reading.run(this.#deps.ticker.nowMs);
    this.#ws.resume();
  }

  /** Ends the connection for a reason of ours. */
  end(end: ConnectionEnd): void {
    if (this.#isEnded) return;
    const closeCode = CLOSE_CODE[end.cause];
    this.#finish(end);
    if (closeCode === null) this.#ws.terminate();
    else this.#ws.close(closeCode, end.detail.slice(0, 100));
  }

  #listen(): void {
    this.#ws.on('message', (data: Buffer, isBinary: boolean) => {
      this.#owner.onMessage(data, isBinary);
    });
    this.#ws.on('ping', () => this.#onControl());
    this.#ws.on('pong', () => this.#onControl());
    this.#ws.on('error', (error: Error) => this.#onError(error));
    this.#ws.on('close', (code: number, reason: Buffer) => this.#onClose(code, reason));
    this.#socket.on('data', this.#onChunk);
    this.#socket.on('error', this.#onSocketError);
  }

  /** Runs after `ws` has taken the chunk and delivered what was whole in it. */
  readonly #onChunk = (chunk: Buffer): void => {
    // A message of this chunk may have ended the connection: its bytes are given back already.
    if (this.#isEnded) return;
    const readingMs = this.#reading.now(this.#deps.ticker.nowMs);
    this.#pulse.hear(readingMs);
    const before = this.#walker.unfinishedBytes;
    const messagesBefore = this.#walker.messageCount;
    this.#walker.push(chunk);
    const after = this.#walker.unfinishedBytes;
    if (before === 0 || this.#walker.messageCount !== messagesBefore) {
      this.#unfinishedSinceMs = readingMs;
    }
    this.#deps.unfinished.add(after - before);
    if (after > before && this.#deps.unfinished.isOver) this.#owner.onBudgetOver();
  };

  readonly #onSocketError = (error: Error): void => {
    this.#socketFault = errorCode(error);
  };

  #onControl(): void {
    if (this.#control.take(this.#deps.clock.monoMs())) return;
    this.end({ cause: 'ping_flood', detail: 'too many control frames' });
  }

  /** A fault of the protocol; `ws` has sent its close frame and drops what comes. */
  #onError(error: Error): void {
    const code = errorCode(error);
    const isUnreadable = UNREADABLE_CODES.has(code);
    const cause = code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH' ? 'too_large' : 'protocol';
    this.#finish({ cause, detail: code === '' ? errorText(error) : code, isUnreadable });
  }

  #onClose(code: number, reason: Buffer): void {
    if (code !== 1006) {
      const detail = `${code} ${reason.toString('utf8', 0, 100)}`.trimEnd();
      this.#finish({ cause: 'closed', detail });
    } else if (this.#socketFault === '') {
      this.#finish({ cause: 'abnormal', detail: 'ended without a close frame' });
    } else {
      this.#finish({ cause: 'reset', detail: this.#socketFault });
    }
  }

  #finish(end: ConnectionEnd): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#deps.unfinished.add(-this.#walker.unfinishedBytes);
    this.#ws.removeAllListeners();
    // The close handshake may still fail; without a listener that would end the process.
    this.#ws.on('error', () => {});
    this.#socket.off('data', this.#onChunk);
    this.#socket.off('error', this.#onSocketError);
    this.#owner.onEnded(end);
  }
}
