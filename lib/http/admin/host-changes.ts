/**
 * Admin routes that decide about a host: pds/changeLimits, as the reference relay has it and with
 * limits by name, and pds/changeLenient. 200 means stored and in force.
 * @thread main
 */
import { QUOTA_NAMES, type QuotaLimits, type QuotaName } from '../../hosts/quota.ts';
import { type HostPolicy, normalizeHost } from '../../identity/address.ts';
import type { Logger } from '../../logging/logger.ts';
import { type Answer, invalidRequest, ok, xrpcError } from '../answer.ts';
import type { JsonBody } from '../json-body.ts';
import type { Route, RouteRequest } from '../route.ts';

export type LimitsChange = {
  /** Most accounts; null = the default, undefined = as it is. */
  readonly accountLimit?: number | null;
  /** Limits to set. */
  readonly limits: Readonly<Partial<QuotaLimits>>;
  /** Limits that go back to their formulae. */
  readonly formulae: readonly QuotaName[];
};

export interface HostAdmin {
  /** False where there is no such host; rejects where it could not be stored. */
  changeLimits(hostname: string, change: LimitsChange): Promise<boolean>;
  changeLenient(hostname: string, isLenient: boolean): Promise<boolean>;
}

export type HostChangeDeps = {
  readonly admin: HostAdmin;
  readonly policy: HostPolicy;
  readonly logger: Logger;
};

const ACCOUNTS_MAX = 1_000_000_000;
const LIMIT_MAX = 1_000_000_000_000;

export function adminHostChangeRoutes(deps: HostChangeDeps): readonly Route[] {
  const route = (name: string, handle: (request: RouteRequest) => Promise<Answer>): Route => ({
    method: 'POST',
    path: `/admin/pds/${name}`,
    hasBody: true,
    handle: async (request) => {
      const answer = await handle(request);
      const { address, body } = request;
      const fields = { action: name, actor: 'admin', address, target: body.text('host') };
      deps.logger.info({ ...fields, status: answer.status }, 'admin action');
      return answer;
    },
  });
  return [
    route('changeLimits', ({ body }) => changeLimits(deps, body)),
    route('changeLenient', ({ body }) => changeLenient(deps, body)),
  ];
}

async function changeLimits(deps: HostChangeDeps, body: JsonBody): Promise<Answer> {
  const change = readLimits(body);
  if (typeof change === 'string') return invalidRequest(change);
  return onHost(deps, body, (hostname) => deps.admin.changeLimits(hostname, change));
}

async function changeLenient(deps: HostChangeDeps, body: JsonBody): Promise<Answer> {
  const isLenient = body.flag('lenient');
  if (isLenient === undefined) return invalidRequest('lenient must be true or false');
  return onHost(deps, body, (hostname) => deps.admin.changeLenient(hostname, isLenient));
}

async function onHost(
  { policy }: HostChangeDeps,
  body: JsonBody,
  change: (hostname: string) => Promise<boolean>,
): Promise<Answer> {
  const verdict = normalizeHost(body.text('host') ?? '', policy);
  if (verdict.fault !== undefined) return invalidRequest('host is not a host name');
  if (await change(verdict.host)) return ok({ success: 'true' });
  return xrpcError(404, 'HostNotFound', 'host is not known');
}

/** The change that the body asks for, or what is wrong with it. */
function readLimits(body: JsonBody): LimitsChange | string {
  const fields = ['repo_limit', 'account_limit_alerts_silenced', 'limits'];
  if (!fields.some((name) => body.has(name))) return `one of ${fields.join(', ')} is required`;
  // There are no alerts to silence: they are made from /metrics. The field is the reference's.
  const isSilenced = body.flag('account_limit_alerts_silenced');
  if (body.has('account_limit_alerts_silenced') && isSilenced === undefined) {
    return 'account_limit_alerts_silenced must be true or false';
  }
  const change = readNamed(body);
  if (typeof change === 'string' || !body.has('repo_limit')) return change;
  const accountLimit = body.wholeNumberOrNull('repo_limit', 0, ACCOUNTS_MAX);
  if (accountLimit === undefined) return 'repo_limit must be a whole number or null';
  return { ...change, accountLimit };
}

function readNamed(body: JsonBody): LimitsChange | string {
  const limits: Partial<Record<QuotaName, number>> = {};
  const formulae: QuotaName[] = [];
  if (!body.has('limits')) return { limits, formulae };
  const named = body.object('limits');
  if (named === undefined) return 'limits must be an object';
  for (const text of named.names()) {
    const name = QUOTA_NAMES.find((known) => known === text);
    if (name === undefined) return `limits are named ${QUOTA_NAMES.join(', ')}`;
    const max = named.wholeNumberOrNull(name, 0, LIMIT_MAX);
    if (max === undefined) return `${name} must be a whole number or null`;
    if (max === null) formulae.push(name);
    else limits[name] = max;
  }
  return { limits, formulae };
}
