/**
 * The cursor of a host that has none: the seq before its first frame, stored before that frame is
 * routed, so that a crash right afterwards brings it again (G9). Once seen it also holds for
 * reconnects while the store is down. Owns the tries to store it, one at a time.
 * @thread main
 */
import { type BackoffPolicy, backoffDelayMs } from '../base/backoff.ts';
import { errorText } from '../base/fault.ts';
import type { UpstreamContext } from './context.ts';

const RETRY: BackoffPolicy = { delayMsMin: 200, delayMsMax: 10_000 };

export interface FirstCursorOwner {
  readonly hostId: number;
  readonly hostname: string;
  onFirstCursorStored(hostSeq: number): void;
  /** Call store() again after `delayMs`. */
  onFirstCursorFault(delayMs: number): void;
}

export class FirstCursor {
  readonly #context: UpstreamContext;
  readonly #owner: FirstCursorOwner;
  #hostSeq: number | null = null;
  #isStoring = false;
  #failures = 0;

  constructor(context: UpstreamContext, owner: FirstCursorOwner) {
    this.#context = context;
    this.#owner = owner;
  }

  /** Where to resume although nothing is stored yet; null before the first frame was seen. */
  get hostSeq(): number | null {
    return this.#hostSeq;
  }

  /** Starts to store the cursor before `firstSeq`, or before the first one that was ever seen. */
  store(firstSeq: number): void {
    if (this.#isStoring) return;
    this.#isStoring = true;
    this.#hostSeq ??= firstSeq - 1;
    const hostSeq = this.#hostSeq;
    const onStored = (): void => {
      this.#isStoring = false;
      this.#owner.onFirstCursorStored(hostSeq);
    };
    const onFault = (error: unknown): void => {
      this.#isStoring = false;
      this.#log(error);
      this.#owner.onFirstCursorFault(backoffDelayMs(RETRY, this.#failures++, this.#context.prng));
    };
    this.#context.storeFirstCursor(this.#owner.hostId, hostSeq).then(onStored, onFault);
  }

  #log(error: unknown): void {
    const { logger, sampler } = this.#context;
    if (sampler.admit('first cursor') < 0) return;
    const fields = { host: this.#owner.hostname, error: errorText(error) };
    logger.warn(fields, 'first cursor not stored');
  }
}
