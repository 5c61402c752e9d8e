/**
 * com.atproto.sync.requestCrawl and its deprecated alias notifyOfUpdate: a host asks us to
 * subscribe to it. The decision is made in hosts/crawl.ts.
 * @thread main
 */
import type { CrawlCaller, CrawlResult } from '../../hosts/crawl.ts';
import { type Answer, invalidRequest, xrpcError } from '../answer.ts';
import { type Route, type RouteRequest, xrpcPath } from '../route.ts';

export type CrawlAdmission = {
  request(hostname: string, caller: CrawlCaller): Promise<CrawlResult>;
};

/** Both public paths. */
export function requestCrawl(desk: CrawlAdmission): readonly Route[] {
  const nsids = ['com.atproto.sync.requestCrawl', 'com.atproto.sync.notifyOfUpdate'];
  return nsids.map((nsid) => ({
    method: 'POST',
    path: xrpcPath(nsid),
    hasBody: true,
    handle: (request: RouteRequest) => answerCrawl(desk, request, false),
  }));
}

/** Reads `hostname` from the body, asks the desk, and turns its verdict into an answer. */
export async function answerCrawl(
  desk: CrawlAdmission,
  request: RouteRequest,
  isAdmin: boolean,
): Promise<Answer> {
  const hostname = request.body.text('hostname');
  if (hostname === undefined || hostname === '') return invalidRequest('hostname is required');
  const result = await desk.request(hostname, { clientKey: request.addressKey, isAdmin });
  if (result.refused === undefined) return { status: 200 };
  const { status, name, message, retryAfterSeconds } = result.refused;
  if (retryAfterSeconds === undefined) return xrpcError(status, name, message);
  return xrpcError(status, name, message, { 'Retry-After': String(retryAfterSeconds) });
}
