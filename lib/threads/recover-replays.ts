/**
 * What the log holds beyond the stored cursors, per host: frames that hosts will send again after
 * a crash and that must not be emitted twice (G9).
 * @thread main
 */
import type { HostRecord } from '../hosts/host.ts';
import type { RecordSource } from '../log/records.ts';
import type { LogView } from '../log/segment-files.ts';
import type { ReplayFilter } from '../upstream/replay-filter.ts';

/** Fills the filter with all records after the checkpoint; returns how many records it read. */
export async function recoverReplays(
  log: RecordSource,
  view: LogView,
  checkpointSeq: number,
  hosts: readonly HostRecord[],
  filter: ReplayFilter,
): Promise<number> {
  const cursors = new Map(hosts.map((host) => [host.hostId, host.cursor]));
  let count = 0;
  await log.forEachRecord(checkpointSeq, view, (record) => {
    filter.add(record.hostId, cursors.get(record.hostId) ?? null, record);
    count += 1;
    return undefined;
  });
  return count;
}
