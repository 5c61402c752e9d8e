/**
 * A fault of the world: a full disk, a database that is down, a host that does not answer.
 * Retried with a budget or shown in readiness; never used for bad input or for our own bugs.
 * @thread any
 */
export class RelayFault extends Error {
  override readonly name = 'RelayFault';
  readonly code: string;
  readonly isRetryable: boolean;

  constructor(code: string, message: string, options: { isRetryable: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.isRetryable = options.isRetryable;
  }
}

/** The `code` of a Node system error (`ENOSPC`, `ECONNREFUSED`, …), or '' where there is none. */
export function errorCode(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return String(error.code);
}

/** One line of an error for a log; never throws, whatever was thrown at us. */
export function errorText(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
