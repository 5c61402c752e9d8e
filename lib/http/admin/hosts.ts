/**
 * Admin routes about hosts, with the paths and the JSON of the reference relay, so that existing
 * command-line tools work: pds/list, pds/requestCrawl, subs/getUpstreamConns.
 * @thread main
 */
import { isoTime } from '../../base/clock.ts';
import { toEpochMs } from '../../base/units.ts';
import type { QuotaName, QuotaUsage } from '../../hosts/quota.ts';
import type { Logger } from '../../logging/logger.ts';
import { REJECTS, type RejectCode } from '../../reject/codes.ts';
import { ok } from '../answer.ts';
import type { HostReader, HostView } from '../readers.ts';
import type { Route } from '../route.ts';
import { answerCrawl, type CrawlAdmission } from '../xrpc/requestCrawl.ts';

/** What the running subscriptions know, from memory. */
export type HostActivity = {
  /** Hosts with a subscription, those that wait in back-off included. */
  readonly hostnames: () => readonly string[];
  readonly of: (hostId: number) => HostUse | undefined;
};

export type HostUse = {
  readonly isConnected: boolean;
  readonly eventsSinceStart: number;
  /** `paused`, `open`, `backoff` … */
  readonly state: string;
  /** Why it is not read at present. */
  readonly pauseReason: string | null;
  readonly limits: readonly QuotaUsage[];
  /** Read at a tenth of its rates for its discontinuous commits. */
  readonly isSlowed: boolean;
  /** New accounts of it are refused. */
  readonly isFull: boolean;
  /** Strikes that still count. */
  readonly strikes: number;
  readonly verifyMs: number;
  readonly discontinuousCount: number;
  readonly waivedCount: number;
  /** Oldest first; `atMs` is wall clock. */
  readonly lastRejects: readonly {
    readonly code: RejectCode;
    readonly hostSeq: number;
    readonly atMs: number;
  }[];
};

export type AdminHostDeps = {
  readonly hosts: HostReader;
  readonly activity: HostActivity;
  readonly crawl: CrawlAdmission;
  readonly logger: Logger;
};

const LIST_MAX = 10_000;
const PAGE = 1000;
const WINDOW_SECONDS = { second: 1, hour: 3600, day: 86_400 } as const;

export function adminHostRoutes(deps: AdminHostDeps): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/admin/pds/list',
      handle: async () => ok(await listAll(deps)),
    },
    {
      method: 'GET',
      path: '/admin/subs/getUpstreamConns',
      handle: () => ok(deps.activity.hostnames()),
    },
    {
      method: 'POST',
      path: '/admin/pds/requestCrawl',
      hasBody: true,
      handle: async (request) => {
        const answer = await answerCrawl(deps.crawl, request, true);
        const { address } = request;
        const target = request.body.text('hostname');
        const fields = { action: 'requestCrawl', actor: 'admin', address, target };
        deps.logger.info({ ...fields, status: answer.status }, 'admin action');
        return answer;
      },
    },
  ];
}

async function listAll({ hosts, activity }: AdminHostDeps): Promise<object[]> {
  const list: object[] = [];
  let afterId = 0;
  while (list.length < LIST_MAX) {
    const rows = await hosts.page(afterId, PAGE);
    for (const row of rows) list.push(hostInfo(row, activity.of(row.hostId)));
    if (rows.length < PAGE) break;
    afterId = rows.at(-1)?.hostId ?? afterId;
  }
  return list;
}

/** Field names are those of the reference relay's `hostInfo`. */
function hostInfo(host: HostView, use: HostUse | undefined): object {
  const rate = (name: QuotaName, window: number): object => {
    const max = use?.limits.find((limit) => limit.name === name)?.max ?? 0;
    return { Max: max, Window: window };
  };
  return {
    ID: host.hostId,
    CreatedAt: isoTime(toEpochMs(host.createdMs)),
    Host: host.hostname,
    SSL: !host.isInsecure,
    Cursor: host.seq ?? -1,
    Registered: host.status === 'active',
    Blocked: host.status === 'banned',
    CrawlRateLimit: 0,
    RepoCount: host.accountCount ?? 0,
    RepoLimit: host.accountLimit,
    HasActiveConnection: use?.isConnected ?? false,
    EventsSeenSinceStartup: use?.eventsSinceStart ?? 0,
    PerSecondEventRate: rate('eventsPerSecond', WINDOW_SECONDS.second),
    PerHourEventRate: rate('eventsPerHour', WINDOW_SECONDS.hour),
    PerDayEventRate: rate('eventsPerDay', WINDOW_SECONDS.day),
    UserCount: host.accountCount ?? 0,
    AccountLimitAlertsSilenced: false,
    // From here on ours.
    Status: host.status,
    Lenient: host.isLenient,
    ...(use === undefined ? {} : usage(use)),
  };
}

/** How full the limits are, what the host costs, and why its events do not come through. */
function usage(use: HostUse): object {
  const limits = use.limits.map(({ name, used, max }) => {
    return [name, { Max: max, Used: Math.round(used * 10) / 10 }];
  });
  return {
    State: use.state,
    PauseReason: use.pauseReason,
    Limits: Object.fromEntries(limits),
    Slowed: use.isSlowed,
    AccountsFull: use.isFull,
    Strikes: use.strikes,
    VerifyMs: Math.round(use.verifyMs),
    DiscontinuousCommits: use.discontinuousCount,
    WaivedCommits: use.waivedCount,
    LastRejects: use.lastRejects.map(({ code, hostSeq, atMs }) => ({
      Code: code,
      Reason: REJECTS[code].doc,
      Seq: hostSeq,
      At: isoTime(toEpochMs(atMs)),
    })),
  };
}
