/**
 * How the process ends: the exit codes that operators and supervisors may rely on, and which fault
 * of the start has which. The list is in the README too.
 * @thread main
 */
import { RelayFault } from '../base/fault.ts';
import { LOCKED_EXIT_CODE } from '../log/lock.ts';

export const EXIT = {
  clean: 0,
  /** A second signal, or one during the start. */
  interrupted: 130,
  /** A setting is unknown, does not parse or is out of range. */
  config: 2,
  /** A listener cannot be opened: the port is taken, the address is not ours. */
  listen: 69,
  /** A broken invariant, or the log writer ended: a restart recovers. */
  internal: 70,
  /** The data directory, the log or the database cannot be used. */
  storage: 74,
  /** Another relay writes this log or this database. */
  locked: LOCKED_EXIT_CODE,
  /** Log or database were written by a newer version. */
  newer: 76,
} as const;

const CODES: Readonly<Record<string, number>> = {
  liveness_failed: EXIT.listen,
  listen_failed: EXIT.listen,
  log_locked: EXIT.locked,
  database_locked: EXIT.locked,
  schema_newer: EXIT.newer,
  log_version_unknown: EXIT.newer,
};

/** The exit code for an error that ended the start. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof RelayFault)) return EXIT.internal;
  return CODES[error.code] ?? EXIT.storage;
}
