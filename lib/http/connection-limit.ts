/**
 * Open HTTP connections per client address (S14). One that became a websocket counts no longer:
 * consumers have limits of their own. Connections of the operator's proxies are not
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
  /** Key of each counted connection. */
  readonly #keys = new WeakMap<Socket, string>();

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
    this.#keys.set(socket, key);
    socket.once('close', () => this.release(socket));
  };

  /** The connection is closed, or is no HTTP connection any more. */
  release(socket: Socket): void {
    const key = this.#keys.get(socket);
    if (key === undefined) return;
    this.#keys.delete(socket);
    const left = (this.#counts.get(key) ?? 1) - 1;
    if (left > 0) this.#counts.set(key, left);
    else this.#counts.delete(key);
  }
}
