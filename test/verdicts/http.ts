/** Requests to the relay, byte for byte as a test wants them, and its answers in a few words. */
import { type ClientRequest, request } from 'node:http';
import { ADMIN_PASSWORD, type RelayProcess } from '../helpers/relay-process.ts';

export type Asked = {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
};

export type Answered = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Record<string, unknown>;
  /** `404 RepoNotFound`, `200`. */
  readonly words: string;
};

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
} as const;

export const ADMIN = {
  authorization: `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString('base64')}`,
} as const;

const PIECE_BYTES = 64 * 1024;
const PATIENCE_MS = 5000;

/** The start of a large body, and the rest of it only to who has not answered by then. */
async function pour(sent: ClientRequest, body: Buffer, answer: Promise<unknown>): Promise<void> {
  sent.write(body.subarray(0, PIECE_BYTES));
  const timeout = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, 'late').unref());
  if ((await Promise.race([answer, timeout])) === 'late') sent.end(body.subarray(PIECE_BYTES));
}

/** One request; the answer counts also where the rest of the body was not taken any more. */
export function ask(relay: RelayProcess, path: string, asked: Asked = {}): Promise<Answered> {
  const { method = 'GET', headers = {}, body } = asked;
  const { promise, resolve, reject } = Promise.withResolvers<Answered>();
  const sent = request(`${relay.url}${path}`, { method, headers, agent: false }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', () => {});
    response.on('close', () => {
      resolve(answered(response.statusCode ?? 0, response.headers, Buffer.concat(chunks)));
      sent.destroy();
    });
  });
  sent.on('upgrade', (response, socket) => {
    socket.destroy();
    resolve(answered(response.statusCode ?? 0, response.headers, Buffer.alloc(0)));
  });
  sent.on('error', reject);
  const bytes = Buffer.from(body ?? '');
  if (bytes.length <= PIECE_BYTES) sent.end(bytes);
  else void pour(sent, bytes, promise);
  return promise;
}

/** A websocket handshake on the stream. */
export function askStream(relay: RelayProcess, query: string, headers = {}): Promise<Answered> {
  const path = `/xrpc/com.atproto.sync.subscribeRepos${query}`;
  return ask(relay, path, { headers: { ...UPGRADE, ...headers } });
}

/** A POST with a JSON body. */
export function post(
  relay: RelayProcess,
  path: string,
  body: object | string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answered> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return ask(relay, path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
      ...headers,
    },
    body: text,
  });
}

export function sync(relay: RelayProcess, method: string, query: string): Promise<Answered> {
  return ask(relay, `/xrpc/com.atproto.sync.${method}${query}`);
}

/** The operator's word on an account; what it says is in force when this resolves. */
export async function decide(
  { relay }: { readonly relay: RelayProcess },
  action: 'takeDown' | 'reverseTakedown',
  { did }: { readonly did: string },
): Promise<void> {
  const { words } = await post(relay, `/admin/repo/${action}`, { did }, ADMIN);
  if (words !== '200') throw new Error(`${action}: ${words}`);
}

const PAUSE_MS = 20;
const WAIT_MS = 30_000;

/** Asks again and again until there is something; undefined when it takes too long. */
export async function until<Value>(
  probe: () => Promise<Value | undefined>,
): Promise<Value | undefined> {
  const endMs = performance.now() + WAIT_MS;
  for (;;) {
    const value = await probe();
    if (value !== undefined || performance.now() > endMs) return value;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

function answered(status: number, headers: Answered['headers'], bytes: Buffer): Answered {
  const body = bodyOf(bytes);
  const name = typeof body['error'] === 'string' ? ` ${body['error']}` : '';
  return { status, headers, body, words: `${status}${name}` };
}

function bodyOf(bytes: Buffer): Record<string, unknown> {
  try {
    return JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
  } catch {
    return {};
  }
}
