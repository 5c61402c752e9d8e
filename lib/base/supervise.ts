/**
 * Background loops that cannot end unseen (finding C1): one pass after another, an error is
 * logged at a limited rate and counted, the loop goes on after a back-off. Stopping is a signal,
 * then waiting for the pass in hand to end (C3). Knows no metric: the caller is told by hooks.
 * @thread any
 */
import { AssertionFailed } from './assert.ts';
import { type BackoffPolicy, backoffDelayMs } from './backoff.ts';
import { type Clock, nextTurn } from './clock.ts';
import { errorText } from './fault.ts';
import { Prng, seedOf } from './prng.ts';
import { MINUTE_MS, SECOND_MS } from './units.ts';

/** One pass of the loop. Should end soon once the signal is aborted. */
export type Pass = (signal: AbortSignal) => Promise<void> | void;

/** What supervise() needs of a logger. */
export type LoopLogger = {
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
};

export type SuperviseOptions = {
  /** Wait between the end of one pass and the start of the next. Default 1 s; 0 starts at once. */
  readonly periodMs?: number;
  readonly backoff?: BackoffPolicy;
  /** Runs after each pass that ended well: the place to set a heartbeat or an age metric. */
  readonly onBeat?: () => void;
  /** Runs after each pass that threw; must not throw itself. */
  readonly onFailure?: (error: unknown) => void;
};

export type SupervisedLoop = {
  readonly name: string;
  /** Starts the next pass now, or directly after the one in hand. */
  wake(): void;
  /** Milliseconds since a pass last ended well, or since the start where none has. */
  successAgeMs(): number;
  failureCount(): number;
  /** True while the last pass ended in an error. */
  isFailing(): boolean;
  /** Aborts the signal and resolves when the pass in hand has ended. */
  stop(): Promise<void>;
};

const BACKOFF: BackoffPolicy = { delayMsMin: 100, delayMsMax: 30 * SECOND_MS };

class Loop implements SupervisedLoop {
  readonly name: string;
  readonly #clock: Clock;
  readonly #logger: LoopLogger;
  readonly #pass: Pass;
  readonly #options: SuperviseOptions;
  readonly #stopping = new AbortController();
  readonly #prng: Prng;
  #sleep = new AbortController();
  #isWoken = false;
  #lastSuccessMs: number;
  #lastLogMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #failuresInRow = 0;
  #unloggedFailures = 0;
  #isFailureLogged = false;
  readonly #ended: Promise<void>;

  constructor(name: string, clock: Clock, logger: LoopLogger, pass: Pass, opts: SuperviseOptions) {
    this.name = name;
    this.#clock = clock;
    this.#logger = logger;
    this.#pass = pass;
    this.#options = opts;
    this.#prng = new Prng(seedOf(name));
    this.#lastSuccessMs = clock.monoMs();
    this.#ended = this.#run();
  }

  wake(): void {
    this.#isWoken = true;
    this.#sleep.abort();
  }

  successAgeMs(): number {
    return this.#clock.monoMs() - this.#lastSuccessMs;
  }

  failureCount(): number {
    return this.#failures;
  }

  isFailing(): boolean {
    return this.#failuresInRow > 0;
  }

  stop(): Promise<void> {
    this.#stopping.abort();
    this.#sleep.abort();
    return this.#ended;
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#isWoken = false;
      let delayMs = this.#options.periodMs ?? SECOND_MS;
      try {
        await this.#pass(this.#stopping.signal);
        this.#onSuccess();
      } catch (error) {
        // A broken invariant ends the process (an unhandled rejection): it must not be retried.
        if (error instanceof AssertionFailed) throw error;
        delayMs = this.#onError(error);
      }
      // A pass may wake its own loop: sockets and timers must get their turn in between.
      if (this.#isWoken) await nextTurn();
      if (this.#stopping.signal.aborted || this.#isWoken) continue;
      this.#sleep = new AbortController();
      await this.#clock.sleep(delayMs, this.#sleep.signal);
    }
  }

  #onSuccess(): void {
    if (this.#isFailureLogged) {
      this.#logger.info({ loop: this.name, failures: this.#failuresInRow }, 'loop recovered');
    }
    this.#isFailureLogged = false;
    this.#failuresInRow = 0;
    this.#lastSuccessMs = this.#clock.monoMs();
    this.#options.onBeat?.();
  }

  /** Counts, logs the first and then one a minute (C13), and gives the delay before the next. */
  #onError(error: unknown): number {
    const nowMs = this.#clock.monoMs();
    this.#failures++;
    this.#failuresInRow++;
    this.#unloggedFailures++;
    if (nowMs - this.#lastLogMs >= MINUTE_MS) {
      const fields = {
        loop: this.name,
        error: errorText(error),
        failures: this.#unloggedFailures,
        lastSuccessAgeMs: Math.round(nowMs - this.#lastSuccessMs),
      };
      this.#logger.warn(fields, 'loop pass failed');
      this.#lastLogMs = nowMs;
      this.#isFailureLogged = true;
      this.#unloggedFailures = 0;
    }
    this.#options.onFailure?.(error);
    return backoffDelayMs(this.#options.backoff ?? BACKOFF, this.#failuresInRow - 1, this.#prng);
  }
}

/**
 * Runs `pass` again and again until `stop()`; the first pass starts at once. Any error is survived
 * except `AssertionFailed`, a bug of ours: that one ends the process.
 */
export function supervise(
  name: string,
  clock: Clock,
  logger: LoopLogger,
  pass: Pass,
  options: SuperviseOptions = {},
): SupervisedLoop {
  return new Loop(name, clock, logger, pass, options);
}
