/**
 * HTTP answers on a raw socket, for requests that asked for an upgrade and do not get it: there is
 * no response object for them. Pure text plus one write; every answer closes the connection.
 * @thread main
 */
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';

/** Marks us as a relay: another relay that sees it does not subscribe to us (S10). */
export const SERVER_HEADER = 'skyrelay (atproto-relay)';

export type Refusal = {
  readonly status: number;
  /** XRPC error name. */
  readonly name: string;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** The whole answer, headers and XRPC body. */
export function refusalText(refusal: Refusal): string {
  const body = JSON.stringify({ error: refusal.name, message: refusal.message });
  const headers: Readonly<Record<string, string>> = {
    Server: SERVER_HEADER,
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
    'X-Content-Type-Options': 'nosniff',
    'Access-Control-Allow-Origin': '*',
    Connection: 'close',
    ...refusal.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const status = `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status] ?? 'Error'}`;
  return `${status}\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** Answers and closes. The socket needs an error listener of its own before this. */
export function refuseUpgrade(socket: Duplex, refusal: Refusal): void {
  socket.once('finish', () => socket.destroy());
  socket.end(refusalText(refusal));
}
