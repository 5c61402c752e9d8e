/** A consumer of the relay that comes back with its cursor when the connection ends. */
import WebSocket from 'ws';
import { Peek, peek } from '../../lib/wire/peek.ts';
import type { Ledger } from './ledger.ts';

const RETRY_MS = 200;
const peeked = new Peek();

export class DemoConsumer {
  readonly #url: string;
  readonly #ledger: Ledger;
  #socket: WebSocket | undefined;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(url: string, ledger: Ledger) {
    this.#url = url;
    this.#ledger = ledger;
    this.#connect();
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#socket?.terminate();
  }

  #connect(): void {
    const { lastSeq } = this.#ledger;
    const query = lastSeq === 0 ? '' : `?cursor=${lastSeq}`;
    const socket = new WebSocket(`${this.#url}${query}`, { perMessageDeflate: false });
    this.#socket = socket;
    socket.on('error', () => {});
    socket.on('message', (frame: Buffer) => {
      if (peek(frame, peeked) === 'event') this.#ledger.onReceived(frame, performance.now());
    });
    socket.on('close', () => {
      if (!this.#isStopped) this.#timer = setTimeout(() => this.#connect(), RETRY_MS);
    });
  }
}
