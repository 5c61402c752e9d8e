/**
 * Who may use the admin routes: Basic `admin:<password>`, any of several passwords (rotation).
 * Compared as digests, so that neither length nor content shows in the time (S21). Wrong guesses
 * lock the address out for a while; the table of addresses is bounded.
 * @thread main
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { MINUTE_MS, SECOND_MS } from '../../base/units.ts';
import { type Answer, rateLimited, xrpcError } from '../answer.ts';

export type AdminAuthOptions = {
  /** None: the admin routes do not exist. */
  readonly passwords: readonly string[];
  /** Wrong guesses of one address within `lockMs` before it is locked out for the rest of it. */
  readonly failuresMax: number;
  readonly lockMs: number;
  readonly addressesMax: number;
};

export const ADMIN_AUTH_DEFAULTS = {
  failuresMax: 10,
  lockMs: 15 * MINUTE_MS,
  addressesMax: 10_000,
} as const;

const HEADER_CHARS_MAX = 1024;
const BASIC = /^basic +([a-z0-9+/]+={0,2}) *$/i;

type Failures = { count: number; readonly sinceMs: number };

export class AdminAuth {
  readonly #options: AdminAuthOptions;
  readonly #clock: Clock;
  readonly #digests: readonly Buffer[];
  readonly #failures = new Map<string, Failures>();

  constructor(options: AdminAuthOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#digests = options.passwords.map((password) => digest(`admin:${password}`));
  }

  /** Without a password there are no admin routes (S20). */
  get isEnabled(): boolean {
    return this.#digests.length > 0;
  }

  /** Addresses with wrong guesses that are remembered. */
  get addressCount(): number {
    return this.#failures.size;
  }

  /** Undefined: let in. Missing and wrong credentials get the same answer. */
  refuse(authorization: string | undefined, addressKey: string): Answer | undefined {
    const waitMs = this.#lockedMs(addressKey);
    if (waitMs > 0) {
      return rateLimited('too many wrong passwords', Math.ceil(waitMs / SECOND_MS));
    }
    if (this.#isAdmin(authorization)) {
      this.#failures.delete(addressKey);
      return undefined;
    }
    // Browsers ask without credentials first: that is no guess.
    if (authorization !== undefined) this.#blame(addressKey);
    return UNAUTHORIZED;
  }

  #isAdmin(authorization: string | undefined): boolean {
    const isShort = authorization !== undefined && authorization.length <= HEADER_CHARS_MAX;
    const encoded = isShort ? BASIC.exec(authorization)?.[1] : undefined;
    if (encoded === undefined) return false;
    const given = digest(Buffer.from(encoded, 'base64'));
    let isEqual = false;
    for (const wanted of this.#digests) isEqual = timingSafeEqual(given, wanted) || isEqual;
    return isEqual;
  }

  #lockedMs(addressKey: string): number {
    const failures = this.#failures.get(addressKey);
    if (failures === undefined) return 0;
    const leftMs = failures.sinceMs + this.#options.lockMs - this.#clock.monoMs();
    if (leftMs <= 0) this.#failures.delete(addressKey);
    return failures.count >= this.#options.failuresMax ? Math.max(0, leftMs) : 0;
  }

  #blame(addressKey: string): void {
    const known = this.#failures.get(addressKey);
    if (known !== undefined) {
      known.count++;
      return;
    }
    if (this.#failures.size >= this.#options.addressesMax) {
      const oldest = this.#failures.keys().next();
      if (oldest.done !== true) this.#failures.delete(oldest.value);
    }
    this.#failures.set(addressKey, { count: 1, sinceMs: this.#clock.monoMs() });
  }
}

const UNAUTHORIZED = xrpcError(401, 'AuthenticationRequired', 'admin credentials are required', {
  'WWW-Authenticate': 'Basic realm="admin", charset="UTF-8"',
});

function digest(text: string | Buffer): Buffer {
  return createHash('sha256').update(text).digest();
}
