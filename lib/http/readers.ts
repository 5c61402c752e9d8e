/**
 * What the HTTP routes want to know, as small interfaces over plain rows. A rejected promise means
 * that the database does not answer: the client gets 503 with Retry-After.
 * @thread main
 */
import type { HostStatus } from '../hosts/host.ts';

export type HostView = {
  readonly hostId: number;
  readonly hostname: string;
  readonly status: HostStatus;
  /** Last host seq handled; null while none was. */
  readonly seq: number | null;
  /** null where it is not known at present. */
  readonly accountCount: number | null;
  readonly accountLimit: number;
  readonly isInsecure: boolean;
  readonly isLenient: boolean;
  readonly createdMs: number;
};

export interface HostReader {
  /** Up to `limit` hosts with an id above `afterId`, oldest first. */
  page(afterId: number, limit: number): Promise<readonly HostView[]>;
  /** By its name in normal form. */
  find(hostname: string): Promise<HostView | undefined>;
}

export type AccountView = {
  readonly did: string;
  /** What we tell the network: ours and the host's word combined. */
  readonly isActive: boolean;
  readonly status: string | null;
  readonly rev: string | null;
  /** In text form. */
  readonly commitCid: string | null;
  /** The account's PDS in the normal form of a host; null where it is not known. */
  readonly pdsHost: string | null;
};

export type RepoView = {
  /** Place in the list. */
  readonly id: number;
  readonly did: string;
  readonly rev: string;
  readonly commitCid: string;
  readonly isActive: boolean;
  readonly status: string | null;
};

export interface AccountReader {
  find(did: string): Promise<AccountView | undefined>;
  /** Up to `limit` repos with an id above `afterId`, first seen first, whatever their status. */
  page(afterId: number, limit: number): Promise<readonly RepoView[]>;
}
