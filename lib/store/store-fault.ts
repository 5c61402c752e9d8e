/**
 * From what pg throws to a RelayFault, and the one decision that matters: may the same statement
 * work later? Everything about a server that is away, full, slow or failing over may; what is
 * wrong with the statement, its values or our rights may not.
 * @thread any
 */
import pg from 'pg';
import { AssertionFailed } from '../base/assert.ts';
import { errorCode, RelayFault } from '../base/fault.ts';

type Verdict = { readonly code: StoreFaultCode; readonly isRetryable: boolean };

export type StoreFaultCode =
  /** Nobody answers, or the connection broke. */
  | 'store_unreachable'
  /** No answer, no lock or no free connection in time. */
  | 'store_timeout'
  /** It answers that it cannot now: full, starting, failing over, a conflict. */
  | 'store_busy'
  /** It does not know us, or we may not do this. */
  | 'store_refused'
  /** The statement or its values are wrong. */
  | 'store_error';

/** SQLSTATE by its longest matching prefix. */
const SQLSTATES: Readonly<Record<string, Verdict>> = {
  '08': { code: 'store_unreachable', isRetryable: true },
  // A pooler lost our prepared statement, or a migration changed its result.
  '0A000': { code: 'store_busy', isRetryable: true },
  '26': { code: 'store_busy', isRetryable: true },
  // The primary has become a standby.
  '25006': { code: 'store_busy', isRetryable: true },
  '25P03': { code: 'store_timeout', isRetryable: true },
  '28': { code: 'store_refused', isRetryable: false },
  '3D': { code: 'store_refused', isRetryable: false },
  '40': { code: 'store_busy', isRetryable: true },
  '42501': { code: 'store_refused', isRetryable: false },
  '53': { code: 'store_busy', isRetryable: true },
  '55006': { code: 'store_busy', isRetryable: true },
  '55P03': { code: 'store_timeout', isRetryable: true },
  '57014': { code: 'store_timeout', isRetryable: true },
  '57P': { code: 'store_unreachable', isRetryable: true },
  '58': { code: 'store_busy', isRetryable: true },
};

/** True when the same statement may work later. */
export function isTransient(error: unknown): boolean {
  if (error instanceof RelayFault) return error.isRetryable;
  return !isBug(error) && judge(error).isRetryable;
}

/** True for a wait of any kind that took too long. */
export function isTimeout(error: unknown): boolean {
  return !isBug(error) && judge(error).code === 'store_timeout';
}

/** Throws what was caught as a RelayFault; a bug of ours stays what it is. */
export function rethrowStoreFault(error: unknown, what: string): never {
  if (error instanceof RelayFault || isBug(error)) throw error;
  const { code, isRetryable } = judge(error);
  throw new RelayFault(code, `${what}: ${textOf(error)}`, { isRetryable, cause: error });
}

/** Whether the server itself reported the error, so that the connection can be used on. */
export function isServerError(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && error.severity === 'ERROR';
}

function isBug(error: unknown): boolean {
  return (
    error instanceof AssertionFailed || error instanceof TypeError || error instanceof RangeError
  );
}

function judge(error: unknown): Verdict {
  if (error instanceof pg.DatabaseError) return judgeSqlState(error.code ?? '');
  const isLate = /timeout|timed out/i.test(textOf(error)) || errorCode(error) === 'ETIMEDOUT';
  return { code: isLate ? 'store_timeout' : 'store_unreachable', isRetryable: true };
}

function judgeSqlState(sqlState: string): Verdict {
  for (let chars = sqlState.length; chars >= 2; chars--) {
    const verdict = SQLSTATES[sqlState.slice(0, chars)];
    if (verdict !== undefined) return verdict;
  }
  return { code: 'store_error', isRetryable: false };
}

/** Message and SQLSTATE. Never `detail`: it may quote values. */
function textOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map(textOf).join(', ');
  }
  const code = errorCode(error);
  const message = error instanceof Error ? error.message : String(error);
  return code === '' || message.includes(code) ? message : `${message} (${code})`;
}
