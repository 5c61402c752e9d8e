/**
 * One downstream socket: where it stands in our order, and the only place that writes to it.
 *
 * A consumer has no queue. It is a seq and, while it keeps up, a position in the tail ring; at
 * most one piece of whole frames is being written. `ws` puts its pongs and pings between our
 * writes, so every write ends at a frame border; nothing is written once a close frame went out.
 *
 *   open ── end() or the peer closes ──► ending ── socket closed ──► gone
 *
 * Knows nothing of the log, of other consumers or of time limits (hub.ts decides those).
 * @thread main
 */
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { EpochMs } from '../base/units.ts';
import type { Chunk } from './chunk.ts';
import type { LogPiece } from './replays.ts';
import { NOT_IN_TAIL } from './tail-index.ts';

/** Why a connection ended; the label of `relay_broadcast_consumer_ends_total`. */
export type EndCause =
  | 'closed'
  | 'abnormal'
  | 'future_cursor'
  | 'too_slow'
  | 'retention'
  | 'corrupt'
  | 'protocol'
  | 'ping'
  | 'admin'
  | 'stopped'
  | 'other';

export type ConsumerInfo = {
  readonly id: number;
  /** Address of the client, behind a trusted proxy too. */
  readonly address: string;
  /** What limits count by: the address, or its /64. */
  readonly addressKey: string;
  readonly userAgent: string;
  readonly connectedMs: EpochMs;
};

export type ConsumerEvents = {
  /** The socket took the piece in hand: it may be given the next one. */
  onWritable(consumer: Consumer): void;
  /** A frame came from the client: spec'd to be ignored, but not without limit. */
  onFrame(consumer: Consumer, frameBytes: number): void;
  /** The socket is closed; called once. */
  onGone(consumer: Consumer): void;
};

export type ErrorToSend = {
  readonly code: number;
  readonly reason: string;
  readonly frame?: Buffer;
};

/** Reads in a row that may fail on the disk before the replay is given up. */
export const READ_TRIES_MAX = 10;

export class Consumer {
  readonly info: ConsumerInfo;
  /** Seq of the last frame handed to the socket, or below which it asked for nothing. */
  seq: number;
  /** Absolute tail position after that frame; `NOT_IN_TAIL` while it reads the log. */
  tailPosition = NOT_IN_TAIL;
  /** Waits in the hub's list of those to be served. */
  isQueued = false;
  /** A piece of the log is being read for it. */
  isReading = false;
  /** A piece of the log that was read for it, until it is its turn. */
  piece: LogPiece | undefined;
  readTriesLeft = READ_TRIES_MAX;
  /** Not read for before: the disk could not be read a moment ago. */
  retryMs = 0;
  /** Frames handed to the socket, and their bytes. */
  framesSent = 0;
  bytesSent = 0;
  /** Set by the hub: bytes taken by the kernel when last looked at, and when that last moved. */
  takenBytes = 0;
  takenMs: number;
  pingDueMs = 0;
  pingsUnanswered = 0;
  /** Bytes it is known to have read: what was sent before a ping that it answered. */
  heardBytes = 0;
  /** When the hub last saw that no ping was unanswered. */
  heardMs: number;
  /** When the connection is reset if it has not closed by itself. */
  deadlineMs = Number.POSITIVE_INFINITY;
  /** When `closeAll` wants it closed. */
  closeDueMs = Number.POSITIVE_INFINITY;
  closeDueCode = 0;
  /** The client's own frames in the current second. */
  frameWindowMs = Number.NEGATIVE_INFINITY;
  frameCount = 0;
  frameBytes = 0;

  readonly #ws: WebSocket;
  readonly #socket: Socket;
  readonly #events: ConsumerEvents;
  #isBlocked = false;
  /** Writes whose callback has not come: it does in a later turn, also where nothing waited. */
  #unansweredWrites = 0;
  /** The piece that the kernel has not taken all of. */
  #inHand: Chunk | undefined;
  /** `bytesSent` when it was last pinged. */
  #pingedBytes = 0;
  #state: 'open' | 'ending' | 'gone' = 'open';
  #cause: EndCause | undefined;
  #closeCode = 0;

  constructor(
    info: ConsumerInfo,
    ws: WebSocket,
    socket: Socket,
    seq: number,
    nowMs: number,
    events: ConsumerEvents,
  ) {
    this.info = info;
    this.seq = seq;
    this.takenMs = nowMs;
    this.heardMs = nowMs;
    this.#ws = ws;
    this.#socket = socket;
    this.#events = events;
    ws.on('message', (data: Buffer) => events.onFrame(this, data.length));
    ws.on('ping', (data: Buffer) => events.onFrame(this, data.length));
    ws.on('pong', (data: Buffer) => {
      this.pingsUnanswered = 0;
      this.heardBytes = this.#pingedBytes;
      events.onFrame(this, data.length);
    });
    // A frame that is too large, unmasked or garbage; ws closes by itself.
    ws.on('error', () => {
      this.#cause ??= 'protocol';
    });
    ws.on('close', (code: number) => {
      this.#closeCode = code;
    });
    socket.once('close', () => {
      this.#state = 'gone';
      events.onGone(this);
    });
  }

  get isOpen(): boolean {
    return this.#state === 'open' && this.#ws.readyState === WebSocket.OPEN;
  }

  /** True when a piece may be written: nothing waits in the socket and no close frame went out. */
  get isWritable(): boolean {
    return this.isOpen && this.#socket.writableLength === 0;
  }

  /** Bytes that wait in the socket because the kernel takes no more. */
  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  /** Bytes the kernel has taken so far; stands still while the client takes nothing. */
  get takenBytesNow(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  /** Why it ended, once it is gone. */
  get endCause(): EndCause {
    if (this.#cause !== undefined) return this.#cause;
    return this.#closeCode === 1006 || this.#closeCode === 0 ? 'abnormal' : 'closed';
  }

  get closeCode(): number {
    return this.#closeCode;
  }

  /** Hands whole frames to the socket. Only while `isWritable`. */
  write(bytes: Buffer, lastSeq: number): void {
    this.framesSent += lastSeq - this.seq;
    this.bytesSent += bytes.length;
    this.seq = lastSeq;
    if (bytes.length === 0) return;
    this.#unansweredWrites++;
    this.#socket.write(bytes, this.#onWritten);
    this.#isBlocked = this.#socket.writableLength > 0;
  }

  writeChunk(chunk: Chunk): void {
    this.write(chunk.bytes, chunk.lastSeq);
    this.tailPosition = chunk.end;
    // Nothing waits in the socket: the kernel has all of it, and libuv looks at it no more.
    if (!this.#isBlocked) return;
    chunk.hold();
    this.#inHand = chunk;
  }

  /** A frame without a seq (`#info`), before anything else. */
  writeInfo(frame: Buffer): void {
    if (this.isOpen) this.#ws.send(frame);
  }

  ping(): void {
    this.pingsUnanswered++;
    this.#pingedBytes = this.bytesSent;
    if (this.isOpen) this.#ws.ping();
  }

  /**
   * Says why, closes, and stops writing. The frames go out if the client still drains; the hub
   * resets the connection at `deadlineMs` if it does not.
   */
  end(cause: EndCause, error: ErrorToSend, deadlineMs: number): void {
    if (this.#state !== 'open') return;
    this.#cause = cause;
    this.deadlineMs = deadlineMs;
    if (this.#ws.readyState === WebSocket.OPEN) {
      if (error.frame !== undefined) this.#ws.send(error.frame);
      this.#ws.close(error.code, error.reason);
    }
    this.#state = 'ending';
  }

  /** Stops reading what the client sends: for one that floods us. */
  stopReading(): void {
    this.#socket.pause();
  }

  /**
   * Ends the connection now. A reset, because a plain destroy leaves the send buffer, megabytes,
   * in the kernel until the client has taken it or TCP gives up.
   */
  reset(cause: EndCause): void {
    this.#cause ??= cause;
    if (this.#state === 'open') this.#state = 'ending';
    if (this.#isFinishing) this.deadlineMs = 0;
    else this.#socket.resetAndDestroy();
  }

  /**
   * A FIN is on its way out, for this turn of the event loop. libuv refuses a reset just then, and
   * Node 26 forgets the handle without closing it: no `close` event, a descriptor lost for ever.
   */
  get #isFinishing(): boolean {
    const { writableEnded, writableFinished, writableLength } = this.#socket;
    return writableEnded && !writableFinished && writableLength === 0;
  }

  /** The peer began to close: nobody but us ends it if it never finishes. */
  get isClosing(): boolean {
    return this.#state !== 'gone' && this.#ws.readyState !== WebSocket.OPEN;
  }

  readonly #onWritten = (error?: Error | null): void => {
    this.#unansweredWrites--;
    // Only the last one can wait. The callback of one before it says nothing of it.
    if (!this.#isBlocked || this.#unansweredWrites > 0) return;
    this.#isBlocked = false;
    // After an error it is not used again: that costs a buffer, and no thought of who reads it.
    if (!error) this.#inHand?.release();
    this.#inHand = undefined;
    this.#events.onWritable(this);
  };
}
