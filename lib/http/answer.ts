/**
 * What a route answers, as plain data: handlers never see the HTTP library, so that they can be
 * called from a test or another listener. Errors are XRPC errors everywhere (FR-2).
 * @thread main
 */

export type Answer = {
  readonly status: number;
  /** Sent as JSON. Neither this nor `text`: an empty body. */
  readonly json?: unknown;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
};

export function ok(json: unknown): Answer {
  return { status: 200, json };
}

export function xrpcError(
  status: number,
  error: string,
  message: string,
  headers?: Readonly<Record<string, string>>,
): Answer {
  const json = { error, message };
  return headers === undefined ? { status, json } : { status, json, headers };
}

/** A parameter or a body that the lexicon does not allow. */
export function invalidRequest(message: string): Answer {
  return xrpcError(400, 'InvalidRequest', message);
}

/** Too many requests of one client; `seconds` until the next may pass (S16). */
export function rateLimited(message: string, seconds: number): Answer {
  return xrpcError(429, 'RateLimitExceeded', message, { 'Retry-After': String(seconds) });
}

const RETRY_SECONDS = 10;

/** Something we need, the database as a rule, does not answer at present. */
export function tryLater(message: string): Answer {
  const headers = { 'Retry-After': String(RETRY_SECONDS) };
  return xrpcError(503, 'NotEnoughResources', message, headers);
}
