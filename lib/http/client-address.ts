/**
 * Who a request comes from. `X-Forwarded-For` is believed only from proxies that the operator
 * named, and of it only the right-most hop that is no such proxy: everything left of that was
 * written by the client (S14).
 * @thread main
 */

import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';

/** Hops looked at; a longer chain is somebody's play. */
const HOPS_MAX = 16;
const MAPPED = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i;

export class ClientAddress {
  readonly #trusted = new BlockList();

  /** `proxies`: addresses and CIDR blocks. Throws where one is neither. */
  constructor(proxies: readonly string[]) {
    for (const proxy of proxies) {
      const [address = '', prefix] = proxy.split('/', 2);
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      if (prefix === undefined) this.#trusted.addAddress(address, family);
      else this.#trusted.addSubnet(address, Number(prefix), family);
    }
  }

  /** True for an address that is one of the operator's proxies. */
  isTrusted(address: string): boolean {
    const family = isIP(address);
    if (family === 0) return false;
    return this.#trusted.check(address, family === 6 ? 'ipv6' : 'ipv4');
  }

  /** The client's address; '' when its socket is gone. */
  of(request: IncomingMessage): string {
    const direct = plain(request.socket.remoteAddress ?? '');
    if (!this.isTrusted(direct)) return direct;
    const hops = (request.headers['x-forwarded-for'] ?? '').toString().split(',');
    let client = direct;
    for (const hop of hops.slice(-HOPS_MAX).reverse()) {
      const address = plain(hop.trim());
      // Rubbish ends the chain: what stands left of it is worth nothing.
      if (isIP(address) === 0) return client;
      client = address;
      if (!this.isTrusted(address)) return client;
    }
    return client;
  }
}

function plain(address: string): string {
  return address.replace(MAPPED, '');
}
