/** An API listener over rows in memory, and ways to talk to it. */
import { connect, type Socket } from 'node:net';
import { SystemClock } from '../../lib/base/clock.ts';
import { refuseUpgrade } from '../../lib/broadcast/handshake.ts';
import type { CrawlCaller, CrawlResult } from '../../lib/hosts/crawl.ts';
import { ADMIN_AUTH_DEFAULTS } from '../../lib/http/admin/auth.ts';
import type { TakedownResult } from '../../lib/http/admin/repos.ts';
import type { AccountView, HostView, RepoView } from '../../lib/http/readers.ts';
import type { Route } from '../../lib/http/route.ts';
import { apiRoutes, type RouteDeps } from '../../lib/http/routes.ts';
import { API_SERVER_DEFAULTS, ApiServer, type ApiServerOptions } from '../../lib/http/server.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { hostRecord } from '../helpers/host-record.ts';

/** Everything a test looks at in a JSON answer. */
export type Body = {
  readonly error: string;
  readonly message: string;
  readonly cursor?: string;
  readonly hosts: readonly { readonly hostname: string }[];
  readonly repos: readonly { readonly did: string }[];
};

export async function bodyOf(response: Response): Promise<Body> {
  return (await response.json()) as Body;
}

export const PASSWORD = 'correct horse battery staple, thirty-two';
export const DID = 'did:plc:abcdefghijklmnopqrstuvwx';

export function host(hostId: number, change: Partial<HostView> = {}): HostView {
  return {
    hostId,
    hostname: `pds${hostId}.host.net`,
    status: 'active',
    seq: 10 * hostId,
    accountCount: hostId,
    accountLimit: 100,
    isInsecure: false,
    isLenient: false,
    createdMs: 1_700_000_000_000,
    ...change,
  };
}

export function account(change: Partial<AccountView> = {}): AccountView {
  return {
    did: DID,
    isActive: true,
    status: null,
    rev: '3lmxjza3nva2k',
    commitCid: 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm',
    pdsHost: 'pds1.host.net',
    ...change,
  };
}

export function repo(id: number, change: Partial<RepoView> = {}): RepoView {
  const did = `did:plc:${String(id).padStart(24, 'a').replace(/\d/g, 'b')}`;
  const { rev, commitCid } = account();
  return {
    id,
    did,
    rev: rev ?? '',
    commitCid: commitCid ?? '',
    isActive: true,
    status: null,
    ...change,
  };
}

export type Crawled = { readonly hostname: string; readonly caller: CrawlCaller };

export class Api {
  readonly metrics = new MetricWriter();
  readonly hosts: HostView[] = [];
  readonly accounts: AccountView[] = [];
  readonly repos: RepoView[] = [];
  readonly crawled: Crawled[] = [];
  readonly changed: object[] = [];
  readonly upgraded: string[] = [];
  readonly logged: object[] = [];
  readonly takendown: { readonly id: number; readonly did: string }[] = [];
  crawlResult: CrawlResult | undefined;
  takedownResult: TakedownResult = 'done';
  failure: Error | undefined;
  server!: ApiServer;
  port = 0;

  async start(
    options: Partial<ApiServerOptions> = {},
    extra: readonly Route[] = [],
  ): Promise<this> {
    const logger = { ...silentLogger, info: (fields: object) => this.logged.push(fields) };
    const deps: RouteDeps = {
      version: '1.2.3',
      policy: { isInsecureAllowed: false },
      logger,
      hosts: {
        page: async (afterId, limit) => {
          this.#mayFail();
          return this.hosts.filter(({ hostId }) => hostId > afterId).slice(0, limit);
        },
        find: async (name) => {
          this.#mayFail();
          return this.hosts.find(({ hostname }) => hostname === name);
        },
      },
      accounts: {
        find: async (did) => {
          this.#mayFail();
          return this.accounts.find((known) => known.did === did);
        },
        page: async (afterId, limit) => {
          this.#mayFail();
          return this.repos.filter(({ id }) => id > afterId).slice(0, limit);
        },
      },
      crawl: {
        request: async (hostname, caller) => {
          this.crawled.push({ hostname, caller });
          return this.crawlResult ?? { accepted: hostRecord(hostname), isNew: true };
        },
      },
      activity: {
        hostnames: () => this.hosts.map(({ hostname }) => hostname),
        of: (hostId) =>
          hostId === 1
            ? {
                isConnected: true,
                eventsSinceStart: 7,
                state: 'paused',
                pauseReason: 'rate',
                limits: [
                  { name: 'eventsPerSecond', used: 3.14, max: 50 },
                  { name: 'eventsPerHour', used: 2600, max: 2600 },
                  { name: 'eventsPerDay', used: 2600, max: 21_000 },
                ],
                isSlowed: false,
                isFull: true,
                strikes: 2,
                verifyMs: 12.3,
                discontinuousCount: 4,
                waivedCount: 5,
                lastRejects: [{ code: 'commit_rev_bad', hostSeq: 9, atMs: 1_700_000_000_000 }],
              }
            : undefined,
      },
      admin: {
        changeLimits: async (hostname, change) => this.#change(hostname, change),
        changeLenient: async (hostname, isLenient) => this.#change(hostname, { isLenient }),
      },
      takedowns: {
        change: async (did, isDown) => {
          this.#mayFail();
          this.changed.push({ did, isDown });
          return this.takedownResult;
        },
        page: async (afterId, limit) => {
          this.#mayFail();
          return this.takendown.filter(({ id }) => id > afterId).slice(0, limit);
        },
      },
      hub: { consumers: [], headSeq: () => 0, secondsBehind: async () => 0 },
    };
    const admin = { ...ADMIN_AUTH_DEFAULTS, passwords: [PASSWORD] };
    const server = { ...API_SERVER_DEFAULTS, requestsPerSecond: 1e6, requestsBurst: 1e6 };
    this.server = new ApiServer(
      { host: '127.0.0.1', port: 0, trustedProxies: [], ...server, admin, ...options },
      {
        clock: new SystemClock(),
        logger: silentLogger,
        metrics: this.metrics,
        routes: [...apiRoutes(deps), ...extra],
        upgrades: {
          handleUpgrade: (request, socket, _, address) => {
            this.upgraded.push(`${request.url} ${address}`);
            socket.on('error', () => {});
            refuseUpgrade(socket, { status: 418, name: 'Teapot', message: 'reached' });
          },
        },
      },
    );
    this.port = (await this.server.listen()).port;
    return this;
  }

  stop(): Promise<void> {
    return this.server.stop(50);
  }

  /** `target` is sent as it is. */
  async call(target: string, init: RequestInit = {}): Promise<Response> {
    return await fetch(`http://127.0.0.1:${this.port}${target}`, { redirect: 'manual', ...init });
  }

  async json(target: string, init: RequestInit = {}): Promise<{ status: number; body: Body }> {
    const response = await this.call(target, init);
    const text = await response.text();
    return { status: response.status, body: JSON.parse(text === '' ? '{}' : text) as Body };
  }

  post(nsid: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
    const all = { 'content-type': 'application/json', ...headers };
    return this.call(`/xrpc/${nsid}`, { method: 'POST', body, headers: all });
  }

  /** Sends bytes, one piece after the other, and returns all that comes until the end. */
  async raw(pieces: Iterable<string | Buffer>, pauseMs = 0): Promise<string> {
    const socket = this.socket();
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('latin1');
    });
    const ended = new Promise((resolve) => socket.once('close', resolve));
    for (const piece of pieces) {
      if (socket.destroyed) break;
      socket.write(piece);
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    await ended;
    return text;
  }

  socket(): Socket {
    const socket = connect(this.port, '127.0.0.1');
    socket.on('error', () => {});
    return socket;
  }

  #change(name: string, change: object): boolean {
    this.#mayFail();
    if (!this.hosts.some(({ hostname }) => hostname === name)) return false;
    this.changed.push({ hostname: name, ...change });
    return true;
  }

  #mayFail(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}

export function basic(password: string, user = 'admin'): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}
