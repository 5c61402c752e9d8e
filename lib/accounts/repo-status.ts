/**
 * Asks a host for the status of one of its accounts: com.atproto.sync.getRepoStatus (AC-12). One
 * guarded request with few bytes and little time; every answer is a value. Does not know why it
 * is asked, nor how often it may be.
 * @thread verify
 */
import { KiB } from '../base/units.ts';
import { originOfHost } from '../identity/address.ts';
import type { Fetcher } from '../identity/fetch.ts';

const BODY_BYTES_MAX = 8 * KiB;

/**
 * active, inactive: the host says so. unknown: it answers, but not this (404, nonsense, another
 * account). failed: no answer. Only the first lets anything through.
 */
export type RepoStatusAnswer = 'active' | 'inactive' | 'unknown' | 'failed';

export type RepoStatusSource = {
  /** `host` in normal form (identity/address.ts). Never rejects. */
  ask(host: string, did: string): Promise<RepoStatusAnswer>;
};

export class RepoStatusClient implements RepoStatusSource {
  readonly #fetcher: Fetcher;
  readonly #timeoutMs: number;

  /** `fetcher` must be a guarded one: the host is a stranger's choice (DD-8). */
  constructor(fetcher: Fetcher, timeoutMs: number) {
    this.#fetcher = fetcher;
    this.#timeoutMs = timeoutMs;
  }

  async ask(host: string, did: string): Promise<RepoStatusAnswer> {
    const url = `${originOfHost(host)}/xrpc/com.atproto.sync.getRepoStatus`;
    const answer = await this.#fetcher.get(`${url}?did=${encodeURIComponent(did)}`, {
      bodyBytesMax: BODY_BYTES_MAX,
      totalMs: this.#timeoutMs,
      isFresh: true,
    });
    if (answer.fault !== undefined || answer.status >= 500) return 'failed';
    return answer.status === 200 ? readAnswer(answer.body, did) : 'unknown';
  }
}

function readAnswer(body: Buffer, did: string): RepoStatusAnswer {
  const json = parseJson(body);
  if (typeof json !== 'object' || json === null) return 'unknown';
  const { did: named, active } = json as { did?: unknown; active?: unknown };
  if (named !== did || typeof active !== 'boolean') return 'unknown';
  return active ? 'active' : 'inactive';
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
