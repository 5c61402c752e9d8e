/** A resolver with its surroundings, and directories that are quick to build. */
import { type Clock, SystemClock } from '../../lib/base/clock.ts';
import { Prng } from '../../lib/base/prng.ts';
import { IdentityResolver, type ResolverOptions } from '../../lib/identity/resolve.ts';
import { type Logger, silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { documentOf } from './documents.ts';
import { type Handler, startWeb, type WebServer } from './web-server.ts';

export type MetricKey = Parameters<MetricWriter['read']>[0];
export type Teardown = { teardown(callback: () => void): void };
export type Setup = {
  resolver: IdentityResolver;
  metrics: MetricWriter;
  lines: [object, string][];
};

/** Times that a busy machine keeps, for tests of anything but time. */
const CALM = { attemptMs: 5000, budgetMs: 8000, attemptsMax: 2, retryDelayMs: 20 };

/** Short times, so that a test of a time limit lasts as long as that. */
export const QUICK = { attemptMs: 500, budgetMs: 1200, attemptsMax: 2, retryDelayMs: 20 };

export function setUp(
  t: Teardown,
  plc: WebServer,
  options: Partial<ResolverOptions> = {},
  clock: Clock = new SystemClock(),
): Setup {
  const metrics = new MetricWriter();
  const lines: [object, string][] = [];
  const warn = (fields: object, message: string): void => void lines.push([fields, message]);
  const logger: Logger = { ...silentLogger, warn, error: warn };
  const resolver = new IdentityResolver({
    plcUrl: plc.origin,
    isInsecureAllowed: true,
    userAgent: 'skyrelay-test',
    clock,
    prng: new Prng(1),
    logger,
    metrics,
    limits: CALM,
    ...options,
  });
  t.teardown(() => resolver.close());
  return { resolver, metrics, lines };
}

export async function web(t: Teardown, handler: Handler): Promise<WebServer> {
  const server = await startWeb(handler);
  t.teardown(server.close);
  return server;
}

/** A directory that knows every DID. */
export const directory = (t: Teardown): Promise<WebServer> =>
  web(t, (request, response) => response.end(documentFor(request.url)));

export function documentFor(url: string | undefined): string {
  return JSON.stringify(documentOf((url ?? '').slice(1)));
}

/** Different valid did:plc, as many as one likes. */
export function plcDid(index: number): string {
  const digits = index.toString(32).replace(/[0189]/g, (d) => 'wxyz'['0189'.indexOf(d)] ?? 'w');
  return `did:plc:${digits.padStart(24, 'a')}`;
}
