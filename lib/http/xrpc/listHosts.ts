/**
 * com.atproto.sync.listHosts: the hosts we consume from, first seen first.
 * @thread main
 */
import { invalidRequest, ok } from '../answer.ts';
import type { HostReader, HostView } from '../readers.ts';
import { type Route, xrpcPath } from '../route.ts';

const LIMIT_MAX = 1000;
const LIMIT_DEFAULT = 200;

export function listHosts(hosts: HostReader): Route {
  return {
    method: 'GET',
    path: xrpcPath('com.atproto.sync.listHosts'),
    handle: async ({ params }) => {
      const limit = params.wholeNumber('limit', 1, LIMIT_MAX, LIMIT_DEFAULT);
      const cursor = params.cursor();
      if (params.fault !== undefined) return invalidRequest(params.fault);
      const rows = await hosts.page(cursor, limit);
      const last = rows.length === limit ? rows.at(-1) : undefined;
      // A host of which nothing ever came is somebody's request, not yet a source of ours.
      const shown = rows.filter((host) => host.seq !== null).map(hostJson);
      if (last === undefined) return ok({ hosts: shown });
      return ok({ cursor: String(last.hostId), hosts: shown });
    },
  };
}

/** A host as the lexicon has it; what is not known is left out. */
export function hostJson(host: HostView): object {
  return {
    hostname: host.hostname,
    ...(host.seq === null ? {} : { seq: host.seq }),
    ...(host.accountCount === null ? {} : { accountCount: host.accountCount }),
    status: host.status,
  };
}
