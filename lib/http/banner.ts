/**
 * The routes that say who we are: `/`, and the health routes of the reference relay. Health here
 * means that this thread answers; probes belong to the liveness listener (A7).
 * @thread main
 */
import { ok } from './answer.ts';
import type { Route } from './route.ts';

export function bannerRoutes(version: string): readonly Route[] {
  const text = [
    'This is an AT Protocol relay (skyrelay).',
    '',
    'Events:    GET  /xrpc/com.atproto.sync.subscribeRepos  (websocket)',
    'Ask for a crawl: POST /xrpc/com.atproto.sync.requestCrawl',
    'Hosts:     GET  /xrpc/com.atproto.sync.listHosts',
    'Repos:     GET  /xrpc/com.atproto.sync.listRepos',
    '',
    `Version:   ${version}`,
    '',
  ].join('\n');
  return [
    { method: 'GET', path: '/', handle: () => ({ status: 200, text }) },
    ...['/_health', '/xrpc/_health'].map((path): Route => {
      return { method: 'GET', path, handle: () => ok({ status: 'ok', version }) };
    }),
  ];
}
