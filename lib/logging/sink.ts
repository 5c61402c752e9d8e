/**
 * Where log lines leave the thread. A reader of stdout that stalls must neither block the relay
 * nor let it grow: lines are written without blocking, what does not fit is kept up to a byte cap,
 * the rest is dropped and counted. Knows nothing of levels or fields.
 *
 * Two ways to write, chosen once: a pipe or terminal is opened anew with O_NONBLOCK (a file
 * description of our own, so the setting touches nobody else) and written synchronously; a file
 * is written through libuv, one write at a time. A thread that never comes back to its event loop
 * writes files synchronously too, and tries again at its next line or `retry()`. Lines stay below
 * PIPE_BUF, so that lines of several threads never mix in one pipe.
 * @thread any
 */
import {
  closeSync,
  constants,
  fstatSync,
  write as fsWrite,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import type { Clock } from '../base/clock.ts';
import { errorCode } from '../base/fault.ts';

/** Linux PIPE_BUF: a write of this size or less is not mixed with another thread's. */
export const LINE_BYTES_MAX = 4096;
const RETRY_MS = 20;
/** How long flushSync() waits for a reader that is merely slow. */
const FLUSH_MS_MAX = 250;

export type SinkOptions = {
  readonly fd: number;
  readonly pendingBytesMax: number;
  readonly clock: Clock;
  /** The thread's event loop stands still: no callback and no timer ever comes. */
  readonly isLoopless?: boolean | undefined;
  /** Called with the number of lines just dropped. */
  readonly onDrop?: ((lineCount: number) => void) | undefined;
};

type Opened = {
  readonly fd: number;
  readonly isFile: boolean;
  readonly isNonBlocking: boolean;
  readonly isOwned: boolean;
};

export class LineSink {
  readonly #options: SinkOptions;
  readonly #opened: Opened;
  /** Written at once, not by libuv. */
  readonly #isDirect: boolean;
  /** Whole lines that wait; the first may be partly written. */
  readonly #pending: Buffer[] = [];
  #pendingBytes = 0;
  #droppedLines = 0;
  #isWaiting = false;
  /** libuv is writing the first line. */
  #isInHand = false;
  #isClosed = false;

  constructor(options: SinkOptions) {
    this.#options = options;
    this.#opened = openForWriting(options.fd);
    const { isNonBlocking, isFile } = this.#opened;
    this.#isDirect = isNonBlocking || (isFile && options.isLoopless === true);
  }

  /** Lines given up since the start, because the reader stalled or is gone. */
  get droppedLines(): number {
    return this.#droppedLines;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Takes one line with its newline. Never blocks, never throws. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    const isOver = this.#pendingBytes + bytes.length > this.#options.pendingBytesMax;
    if (this.#isClosed || isOver) {
      this.#drop(1);
      return;
    }
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    if (!this.#isWaiting) this.#drain();
  }

  /** Writes what waits and is taken now. For a thread without an event loop, now and then. */
  retry(): void {
    if (this.#pending.length > 0 && !this.#isWaiting) this.#drain();
  }

  /** Writes what waits, for a quarter of a second at most: called when the thread ends. */
  flushSync(): void {
    const endMs = this.#options.clock.monoMs() + FLUSH_MS_MAX;
    // The line libuv has in hand gets written by it, also while the process ends.
    const inHand = this.#isInHand ? this.#pending.shift() : undefined;
    while (this.#pending.length > 0 && this.#options.clock.monoMs() < endMs) {
      if (this.#writeFirst() === 'gone') break;
    }
    if (inHand !== undefined) this.#pending.unshift(inHand);
  }

  /** Ends the sink; lines after this are dropped and counted. */
  close(): void {
    if (this.#isClosed) return;
    this.flushSync();
    this.#isClosed = true;
    if (this.#opened.isOwned) closeSync(this.#opened.fd);
  }

  #drain(): void {
    if (this.#isClosed) return;
    if (!this.#isDirect) {
      this.#writeLater();
      return;
    }
    while (this.#pending.length > 0) {
      if (this.#writeFirst() === 'full') {
        if (this.#options.isLoopless === true) return;
        this.#isWaiting = true;
        this.#options.clock.after(RETRY_MS, () => {
          this.#isWaiting = false;
          this.#drain();
        });
        return;
      }
    }
  }

  #writeFirst(): 'written' | 'full' | 'gone' {
    const first = this.#pending[0];
    if (first === undefined) return 'written';
    try {
      this.#advance(first, writeSync(this.#opened.fd, first, 0, first.length));
      return 'written';
    } catch (error) {
      if (errorCode(error) === 'EAGAIN') return 'full';
      // EPIPE, EIO, ENOSPC: no later line will fare better than this one for now.
      this.#dropPending();
      return 'gone';
    }
  }

  /** For files: libuv writes, this thread goes on. One write at a time keeps the order. */
  #writeLater(): void {
    const first = this.#pending[0];
    if (first === undefined) return;
    this.#isWaiting = true;
    this.#isInHand = true;
    fsWrite(this.#opened.fd, first, 0, first.length, null, (error, writtenBytes) => {
      this.#isWaiting = false;
      this.#isInHand = false;
      if (error === null) this.#advance(first, writtenBytes);
      else this.#dropPending();
      this.#drain();
    });
  }

  #advance(first: Buffer, writtenBytes: number): void {
    this.#pendingBytes -= writtenBytes;
    if (writtenBytes < first.length) this.#pending[0] = first.subarray(writtenBytes);
    else this.#pending.shift();
  }

  #dropPending(): void {
    this.#drop(this.#pending.length);
    this.#pending.length = 0;
    this.#pendingBytes = 0;
  }

  #drop(lineCount: number): void {
    this.#droppedLines += lineCount;
    this.#options.onDrop?.(lineCount);
  }
}

function openForWriting(fd: number): Opened {
  const stat = fstatSync(fd);
  if (stat.isFIFO() || stat.isCharacterDevice()) {
    try {
      const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
      const own = openSync(`/proc/self/fd/${fd}`, flags);
      return { fd: own, isFile: false, isNonBlocking: true, isOwned: true };
    } catch {
      // No /proc, or a pipe made by another user (a container with a user id of its own).
    }
  }
  if (stat.isFile()) return { fd, isFile: true, isNonBlocking: false, isOwned: false };
  // What cannot be opened anew, a socket of systemd above all, is set to O_NONBLOCK by Node itself
  // when main first touches its streams. That holds for all threads: they share the description.
  if (isMainThread) void [process.stdout, process.stderr];
  return { fd, isFile: false, isNonBlocking: hasNonBlockingFlag(fd), isOwned: false };
}

function hasNonBlockingFlag(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
    return (Number.parseInt(flags?.[1] ?? '0', 8) & constants.O_NONBLOCK) !== 0;
  } catch {
    return false;
  }
}
