/**
 * com.atproto.sync.getHostStatus: one host, whatever its status.
 * @thread main
 */
import { type HostPolicy, normalizeHost } from '../../identity/address.ts';
import { invalidRequest, ok, xrpcError } from '../answer.ts';
import type { HostReader } from '../readers.ts';
import { type Route, xrpcPath } from '../route.ts';
import { hostJson } from './listHosts.ts';

export function getHostStatus(hosts: HostReader, policy: HostPolicy): Route {
  return {
    method: 'GET',
    path: xrpcPath('com.atproto.sync.getHostStatus'),
    handle: async ({ params }) => {
      const name = params.required('hostname');
      if (params.fault !== undefined) return invalidRequest(params.fault);
      const { host } = normalizeHost(name, policy);
      if (host === undefined) return invalidRequest('hostname is not a host name');
      const row = await hosts.find(host);
      if (row === undefined) return xrpcError(404, 'HostNotFound', 'host not found');
      return ok(hostJson(row));
    },
  };
}
