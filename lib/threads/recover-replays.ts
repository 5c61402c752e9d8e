/**
 * What the log holds beyond the stored cursors, per host: frames that hosts will send again after
 * a crash and that must not be emitted twice (G9).
 *
 * The checkpoint goes on while a host has not been back yet, so records up to the checkpoint may
 * be beyond that host's cursor: `replayFrom` in its row says from where on, until it is past them.
 * @thread main
 */

import type { RecordSource } from '../log/records.ts';
import type { LogView } from '../log/segment-files.ts';
import type { HostReplay, HostRow } from '../store/host-rows.ts';
import type { ReplayFilter } from '../upstream/replay-filter.ts';

export type RecoveredReplays = {
  readonly recordCount: number;
  /** Pieces that cannot be read: what is in them may come twice. */
  readonly damageCount: number;
  /** Hosts that must be noted as replaying before the next checkpoint is made. */
  readonly replays: readonly HostReplay[];
};

/** Fills the filter from the records that may be beyond the cursor of their host. */
export async function recoverReplays(
  log: RecordSource,
  view: LogView,
  checkpointSeq: number,
  oldestSeq: number,
  hosts: readonly Pick<HostRow, 'id' | 'cursor' | 'replayFrom'>[],
  filter: ReplayFilter,
): Promise<RecoveredReplays> {
  const byId = new Map(hosts.map((host) => [host.id, host]));
  let fromSeq = checkpointSeq;
  for (const { replayFrom } of hosts) fromSeq = Math.min(fromSeq, replayFrom ?? checkpointSeq);
  // What retention has removed cannot be known any more: such events may come twice.
  fromSeq = Math.max(fromSeq, oldestSeq - 1);
  let recordCount = 0;
  const damages = await log.forEachRecord(fromSeq, view, (record) => {
    // An event of our own: no host will send it again.
    if (record.hostSeq === 0) return undefined;
    const host = byId.get(record.hostId);
    if (record.seq > (host?.replayFrom ?? checkpointSeq)) {
      filter.add(record.hostId, host?.cursor ?? null, record);
      recordCount += 1;
    }
    return undefined;
  });
  const replays = hosts
    .filter((host) => filter.has(host.id))
    .map((host) => ({ hostId: host.id, logSeq: host.replayFrom ?? checkpointSeq }));
  return { recordCount, replays, damageCount: damages.length };
}
