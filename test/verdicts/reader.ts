/** A consumer that does as it likes: says what it sees, sends what it should not, stops reading. */
import WebSocket from 'ws';
import { Peek, peek } from '../../lib/wire/peek.ts';
import type { RelayProcess } from '../helpers/relay-process.ts';

/** `seq 7`, `#info OutdatedCursor`, `error FutureCursor`, `close 1008`. */
export class Reader {
  readonly seen: string[] = [];
  readonly socket: WebSocket;
  readonly #waiting = new Set<() => void>();

  constructor(relay: RelayProcess, query = '', userAgent = 'a reader') {
    this.socket = new WebSocket(`${relay.streamUrl}${query}`, {
      perMessageDeflate: false,
      headers: { 'user-agent': userAgent },
    });
    this.socket.on('open', () => this.#check());
    this.socket.on('message', (data: Buffer) => this.#see(nameOf(data)));
    this.socket.on('pong', (data: Buffer) => this.#see(`pong ${data.toString()}`));
    this.socket.on('close', (code) => this.#see(`close ${code}`));
    this.socket.on('error', (error) => this.#see(error.message));
  }

  get isOpen(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** The first things seen, once there are so many; what there is after `msMax`. */
  async first(count: number, msMax = 20_000): Promise<string> {
    await this.until(() => this.seen.length >= count, msMax);
    return this.seen.slice(0, count).join(', ');
  }

  async until(isDone: () => boolean, msMax = 20_000): Promise<boolean> {
    if (isDone()) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const check = (): void => {
      if (isDone()) resolve(true);
    };
    this.#waiting.add(check);
    const timer = setTimeout(() => resolve(false), msMax);
    const isInTime = await promise;
    clearTimeout(timer);
    this.#waiting.delete(check);
    return isInTime;
  }

  stop(): void {
    this.socket.terminate();
  }

  #see(what: string): void {
    this.seen.push(what);
    this.#check();
  }

  #check(): void {
    for (const check of this.#waiting) check();
  }
}

const scratch = new Peek();

function nameOf(data: Buffer): string {
  const kind = peek(data, scratch);
  if (kind === 'event') return `seq ${scratch.hostSeq}`;
  const text = data.toString('latin1');
  const name = /(OutdatedCursor|FutureCursor|ConsumerTooSlow)/.exec(text)?.[1] ?? 'unknown';
  return kind === 'info' ? `#info ${name}` : `error ${name}`;
}
