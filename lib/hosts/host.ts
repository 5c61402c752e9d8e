/**
 * What we think of a host, as a pure status machine. The names are the lexicon's `hostStatus`.
 * Owns the table of transitions; does not know why they happen, nor sockets, nor rows.
 *
 *              unreachable                       future_cursor, quiet
 *   active ──────────────────► offline     active ───────────────────► idle
 *      ▲                          │           ▲                          │
 *      └── connected, received ───┘           └──────── received ────────┘
 *                limited
 *   active ──────────────────► throttled      any ───── banned ────► banned
 *      ▲                          │         active ◄── unbanned ───  banned
 *      └─────── unlimited ────────┘
 *
 * Only `banned` is final: nothing that the host or the network does leaves it, an operator can.
 * Every other status is still dialled, for ever, at the pace of its back-off (D4).
 * @thread any
 */
import { HOUR_MS } from '../base/units.ts';
import type { QuotaLimits } from './quota.ts';

export const HOST_STATUSES = ['active', 'idle', 'offline', 'throttled', 'banned'] as const;
export type HostStatus = (typeof HOST_STATUSES)[number];

export type HostEvent =
  /** The websocket opened. */
  | 'connected'
  /** A frame of it was taken. */
  | 'received'
  /** Several attempts in a row failed. */
  | 'unreachable'
  /** It says that our cursor lies in its future. */
  | 'future_cursor'
  /** Connected, but nothing came for a long time. */
  | 'quiet'
  /** Over a rate for so long that it shows: its socket is not read. */
  | 'limited'
  | 'unlimited'
  | 'banned'
  | 'unbanned';

/** What the store knows of a host and what a subscription needs to start. */
export type HostRecord = {
  readonly hostId: number;
  /** In the normal form of identity/address.ts: `name`, or `localhost:port` in test set-ups. */
  readonly hostname: string;
  readonly status: HostStatus;
  /** Last host seq that is durable or finally rejected; null where none was ever stored. */
  readonly cursor: number | null;
  readonly isTrusted: boolean;
  readonly settings: HostSettings;
};

/** What may change for a host while it is being read. */
export type HostSettings = {
  readonly limits: QuotaLimits;
  /** It has all the accounts that it may have: no new ones (H150). */
  readonly isFull: boolean;
  /** Its commits may come as they were before sync v1.1 (A12). */
  readonly isLenient: boolean;
};

/** Silence after which a connected host counts as idle; it stays connected. */
export const QUIET_MS = 24 * HOUR_MS;

type Row = Partial<Record<HostEvent, HostStatus>>;

const TRANSITIONS: Readonly<Record<HostStatus, Row>> = {
  active: {
    unreachable: 'offline',
    future_cursor: 'idle',
    quiet: 'idle',
    limited: 'throttled',
    banned: 'banned',
  },
  idle: {
    received: 'active',
    unreachable: 'offline',
    limited: 'throttled',
    banned: 'banned',
  },
  offline: {
    connected: 'active',
    received: 'active',
    future_cursor: 'idle',
    banned: 'banned',
  },
  throttled: {
    unlimited: 'active',
    unreachable: 'offline',
    future_cursor: 'idle',
    banned: 'banned',
  },
  banned: { unbanned: 'active' },
};

/** The status after `event`; the same one where the event changes nothing. */
export function nextStatus(status: HostStatus, event: HostEvent): HostStatus {
  return TRANSITIONS[status][event] ?? status;
}

/** Whether we may open a connection: everything but a ban is dialled. */
export function isDialable(status: HostStatus): boolean {
  return status !== 'banned';
}

/** A status from a row or from an operator, or undefined where it is none of ours. */
export function toHostStatus(text: string): HostStatus | undefined {
  return HOST_STATUSES.find((status) => status === text);
}
