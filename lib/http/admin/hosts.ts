/**
 * Admin routes about hosts, with the paths and the JSON of the reference relay, so that existing
 * command-line tools work: pds/list, pds/requestCrawl, subs/getUpstreamConns.
 * @thread main
 */
import { isoTime } from '../../base/clock.ts';
import { toEpochMs } from '../../base/units.ts';
import type { Logger } from '../../logging/logger.ts';
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
  readonly eventsPerSecondMax: number;
  readonly eventsPerHourMax: number;
  readonly eventsPerDayMax: number;
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
  const rate = (max: number | undefined, window: number): object => {
    return { Max: max ?? 0, Window: window };
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
    PerSecondEventRate: rate(use?.eventsPerSecondMax, WINDOW_SECONDS.second),
    PerHourEventRate: rate(use?.eventsPerHourMax, WINDOW_SECONDS.hour),
    PerDayEventRate: rate(use?.eventsPerDayMax, WINDOW_SECONDS.day),
    UserCount: host.accountCount ?? 0,
    AccountLimitAlertsSilenced: false,
    Status: host.status,
  };
}
