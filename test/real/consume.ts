/**
 * Consumers that we did not write, in a process of their own: one of them throws out of its socket
 * handler on a frame that is not canonical, which must end this process and fail the test.
 * Commands and reports are IPC messages.
 */
import { setServers } from 'node:dns';
import { ComAtprotoSyncSubscribeRepos } from '@atcute/atproto';
import { FirehoseSubscription } from '@atcute/firehose';
import { IdResolver, MemoryCache } from '@atproto/identity';
import { type Event, Firehose, MemoryRunner } from '@atproto/sync';
import { Firehose as SkywareFirehose } from '@skyware/firehose';

type Start = {
  readonly type: 'start';
  readonly reader: 'official' | 'atcute' | 'skyware';
  readonly name: string;
  /** Origin of the relay, with the scheme ws. */
  readonly service: string;
  readonly cursor: number;
  /** Documents are asked for once: for a reader that comes when nothing changes any more. */
  readonly isCaching: boolean;
  readonly plcUrl: string;
  /** Domain of handles → origin of the PDS that answers for them. */
  readonly handles: Readonly<Record<string, string>>;
};
type Report = {
  seqs: number[];
  /** `action did/path` of each write of each commit. */
  writes: string[];
  kinds: Record<string, number>;
  handles: string[];
  errors: string[];
  pendingCount: number;
  /** Connections that failed or broke. */
  breakCount: number;
};

const RESOLVE_MS_MAX = 20_000;
const reports: Record<string, Report> = {};
/** No look-up may leave the machine: handles of the test are in no DNS. */
setServers(['127.0.0.1:9']);

function textOf(error: unknown): string {
  const { cause } = error as Error;
  return cause === undefined ? String(error) : `${String(error)}: ${textOf(cause)}`;
}

function count(report: Report, kind: string): void {
  report.kinds[kind] = (report.kinds[kind] ?? 0) + 1;
}

/** With proofs, keys and handles checked: nothing "unauthenticated". */
function startOfficial(start: Start, report: Report): void {
  const { service, cursor, plcUrl, handles, isCaching } = start;
  const local = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const url = new URL(input instanceof Request ? input.url : input);
    const domain = Object.keys(handles).find((suffix) => url.hostname.endsWith(suffix));
    if (domain === undefined) return fetch(input, init);
    const path = `/xrpc/com.atproto.identity.resolveHandle?handle=${url.hostname}`;
    const answer = await fetch(`${handles[domain]}${path}`, init);
    const { did } = (await answer.json()) as { did?: string };
    return new Response(did ?? '', { status: answer.status });
  };
  const memory = new MemoryRunner({ startCursor: cursor });
  const runner = {
    getCursor: () => memory.getCursor(),
    trackEvent: async (did: string, seq: number, handler: () => Promise<void>): Promise<void> => {
      report.seqs.push(seq);
      report.pendingCount += 1;
      await memory.trackEvent(did, seq, handler);
      report.pendingCount -= 1;
    },
  };
  const handleEvent = (event: Event): void => {
    count(report, event.event);
    if ('rkey' in event) {
      report.writes.push(`${event.event} ${event.did}/${event.collection}/${event.rkey}`);
    }
    if (event.event === 'identity' && event.handle !== undefined) report.handles.push(event.handle);
  };
  const firehose = new Firehose({
    service,
    runner,
    handleEvent,
    idResolver: new IdResolver({
      plcUrl,
      fetch: local as typeof fetch,
      timeout: RESOLVE_MS_MAX,
      ...(isCaching ? { didCache: new MemoryCache() } : {}),
    }),
    onError: (error) => report.errors.push(textOf(error)),
    unauthenticatedCommits: false,
    unauthenticatedHandles: false,
    subscriptionReconnectDelay: 100,
  });
  void firehose.start();
}

/** Checks every message against the lexicon. */
async function startAtcute({ service, cursor }: Start, report: Report): Promise<void> {
  const subscription = new FirehoseSubscription({
    service,
    nsid: ComAtprotoSyncSubscribeRepos.mainSchema,
    params: () => ({ cursor: report.seqs.at(-1) ?? cursor }),
    validateEvents: true,
    onError: (error: unknown) => report.errors.push(textOf(error)),
    onConnectionError: () => {
      report.breakCount += 1;
    },
  });
  for await (const message of subscription) {
    count(report, message.$type);
    if ('seq' in message) report.seqs.push(message.seq);
    if (message.$type !== 'com.atproto.sync.subscribeRepos#commit') continue;
    for (const { action, path } of message.ops) {
      report.writes.push(`${action} ${message.repo}/${path}`);
    }
  }
}

/** Decodes every record of every commit. It may report out of order. */
function startSkyware({ service, cursor }: Start, report: Report): void {
  const firehose = new SkywareFirehose({
    relay: service,
    cursor: String(cursor),
    autoReconnect: false,
  });
  for (const kind of ['commit', 'sync', 'identity', 'account', 'info', 'unknown'] as const) {
    firehose.on(kind, (message: { seq?: number }) => {
      count(report, kind);
      if (message.seq !== undefined) report.seqs.push(message.seq);
    });
  }
  firehose.on('commit', ({ repo, ops }) => {
    for (const { action, path } of ops) report.writes.push(`${action} ${repo}/${path}`);
  });
  firehose.on('error', ({ error }) => report.errors.push(textOf(error)));
  firehose.on('websocketError', () => {
    report.breakCount += 1;
  });
  firehose.start();
}

process.on('message', (command: Start | { type: 'report' }) => {
  if (command.type === 'report') {
    process.send?.(reports);
    return;
  }
  const report: Report = {
    seqs: [],
    writes: [],
    kinds: {},
    handles: [],
    errors: [],
    pendingCount: 0,
    breakCount: 0,
  };
  reports[command.name] = report;
  if (command.reader === 'official') startOfficial(command, report);
  else if (command.reader === 'skyware') startSkyware(command, report);
  else void startAtcute(command, report);
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
