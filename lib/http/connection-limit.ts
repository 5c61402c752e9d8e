/**
 * Open connections per client address (S14). Connections of the operator's proxies are not
 * counted: behind one stand many clients. Whoever is over the limit is cut off without an answer,
 * an answer would be one more thing to make us do.
 * @thread main
 */
import type { Socket } from 'node:net';
import { addressKey } from '../broadcast/address-key.ts';

export class ConnectionLimit {
  readonly #perAddressMax: number;
  readonly #isTrusted: (address: string) => boolean;
  readonly #counts = new Map<string, number>();

  constructor(perAddressMax: number, isTrusted: (address: string) => boolean) {
    this.#perAddressMax = perAddressMax;
    this.#isTrusted = isTrusted;
  }

  /** Addresses with an open connection. */
  get addressCount(): number {
    return this.#counts.size;
  }

  /** Listener of the server's `connection` event. */
  readonly onConnection = (socket: Socket): void => {
    const address = socket.remoteAddress ?? '';
    if (this.#isTrusted(address)) return;
    const key = addressKey(address);
    const count = this.#counts.get(key) ?? 0;
    if (count >= this.#perAddressMax) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    this.#counts.set(key, count + 1);
    socket.once('close', () => {
      const left = (this.#counts.get(key) ?? 1) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    });
  };
}
