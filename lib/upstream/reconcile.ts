/**
 * Finds what was forgotten (D4): every so often the rows of all hosts are compared with the
 * subscriptions. A host without one is subscribed to, one that was banned or deleted elsewhere is
 * ended. Reads in pages (C21); knows no SQL.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { type SupervisedLoop, supervise } from '../base/supervise.ts';
import { MINUTE_MS, SECOND_MS } from '../base/units.ts';
import { type HostRecord, isDialable } from '../hosts/host.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { Fleet } from './fleet.ts';

export type ReconcileDeps = {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  readonly fleet: Fleet;
  /** Rows with a greater id, in order of id; an empty page ends the pass. Rejects on a fault. */
  listHosts(afterHostId: number, countMax: number): Promise<readonly HostRecord[]>;
};

export type ReconcileOptions = {
  readonly periodMs: number;
  readonly pageCountMax: number;
};

export const RECONCILE_DEFAULTS: ReconcileOptions = {
  periodMs: 10 * MINUTE_MS,
  pageCountMax: 500,
};

export type ReconcileCounts = {
  readonly seen: number;
  readonly added: number;
  readonly ended: number;
};

/** One pass over all rows. */
export async function reconcile(
  deps: ReconcileDeps,
  options: ReconcileOptions,
): Promise<ReconcileCounts> {
  const { fleet, listHosts } = deps;
  // Hosts that are added while the pass runs are not in `before`, so they cannot be ended by it.
  const before = new Set(fleet.hostIds());
  let seen = 0;
  let added = 0;
  let ended = 0;
  let afterHostId = -1;
  for (;;) {
    const page = await listHosts(afterHostId, options.pageCountMax);
    for (const host of page) {
      seen++;
      before.delete(host.hostId);
      afterHostId = host.hostId;
      if (fleet.has(host.hostId)) {
        if (isDialable(host.status)) continue;
        fleet.ban(host.hostId);
        ended++;
      } else if (isDialable(host.status) && fleet.addLater(host)) {
        added++;
      }
    }
    if (page.length === 0) break;
  }
  for (const hostId of before) {
    fleet.remove(hostId);
    ended++;
  }
  return { seen, added, ended };
}

/** Runs the pass for ever; the first one period after the start. */
export function startReconciling(
  deps: ReconcileDeps,
  options = RECONCILE_DEFAULTS,
): SupervisedLoop {
  const { clock, logger, metrics } = deps;
  let isFirst = true;
  const pass = async (): Promise<void> => {
    if (isFirst) {
      isFirst = false;
      return;
    }
    const counts = await reconcile(deps, options);
    if (counts.added + counts.ended > 0) logger.warn(counts, 'hosts reconciled');
  };
  return supervise('reconcile', clock, logger, pass, {
    periodMs: options.periodMs,
    onBeat: () => {
      const nowSeconds = clock.epochMs() / SECOND_MS;
      metrics.set('relay_loop_success_timestamp_seconds:reconcile', nowSeconds);
    },
    onFailure: () => metrics.add('relay_loop_failures_total:reconcile'),
  });
}
