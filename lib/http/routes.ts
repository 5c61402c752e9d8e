/**
 * THE list of routes of the API listener.
 * @thread main
 */
import type { HostPolicy } from '../identity/address.ts';
import type { Logger } from '../logging/logger.ts';
import { adminConsumerRoutes, type ConsumerList } from './admin/consumers.ts';
import { adminHostChangeRoutes, type HostAdmin } from './admin/host-changes.ts';
import { adminHostRoutes, type HostActivity } from './admin/hosts.ts';
import { adminRepoRoutes, type TakedownAdmin } from './admin/repos.ts';
import { bannerRoutes } from './banner.ts';
import type { AccountReader, HostReader } from './readers.ts';
import type { Route } from './route.ts';
import { getHostStatus } from './xrpc/getHostStatus.ts';
import { getLatestCommit } from './xrpc/getLatestCommit.ts';
import { getRepo } from './xrpc/getRepo.ts';
import { getRepoStatus } from './xrpc/getRepoStatus.ts';
import { listHosts } from './xrpc/listHosts.ts';
import { listRepos } from './xrpc/listRepos.ts';
import { type CrawlAdmission, requestCrawl } from './xrpc/requestCrawl.ts';
import { subscribeRepos } from './xrpc/subscribeRepos.ts';

export type RouteDeps = {
  readonly version: string;
  readonly policy: HostPolicy;
  readonly hosts: HostReader;
  readonly accounts: AccountReader;
  readonly crawl: CrawlAdmission;
  readonly activity: HostActivity;
  readonly admin: HostAdmin;
  readonly takedowns: TakedownAdmin;
  readonly hub: ConsumerList;
  readonly logger: Logger;
};

export function apiRoutes(deps: RouteDeps): readonly Route[] {
  const { accounts, hosts, policy } = deps;
  return [
    ...bannerRoutes(deps.version),
    subscribeRepos(),
    ...requestCrawl(deps.crawl),
    listHosts(hosts),
    getHostStatus(hosts, policy),
    listRepos(accounts),
    getRepoStatus(accounts),
    getLatestCommit(accounts),
    getRepo(accounts),
    ...adminHostRoutes(deps),
    ...adminHostChangeRoutes(deps),
    ...adminRepoRoutes(deps),
    ...adminConsumerRoutes(deps.hub),
  ];
}
