/**
 * What the liveness thread knows, kept up to date by `sample()`: ages of heartbeats, the verdict,
 * the body of the probes. Reads shared words and its own clock, nothing else, and says in the log
 * when another thread stands still, while it does (finding A9).
 * @thread liveness
 */
import type { Clock } from '../base/clock.ts';
import { pauseCauseName } from '../log/append-fault.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { HealthReader } from '../shared/health-words.ts';
import { PersistState } from '../shared/regions.ts';
import { BeatWatch, StallWatch } from './beat-watch.ts';
import {
  ballastStateName,
  databaseStateName,
  healthVerdict,
  persistStateName,
  phaseName,
  type Verdict,
} from './verdict.ts';

/** How often the worker calls `sample()`; a stall is seen this much late at most. */
export const SAMPLE_PERIOD_MS = 200;

type Watched = 'main' | 'persist';

export class HealthMonitor {
  readonly #reader: HealthReader;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: MetricWriter;
  readonly #beats = new BeatWatch();
  readonly #stalls = { main: new StallWatch(), persist: new StallWatch() };
  readonly #startMs: number;
  #ages: readonly number[] = [];

  constructor(reader: HealthReader, clock: Clock, logger: Logger, metrics: MetricWriter) {
    this.#reader = reader;
    this.#clock = clock;
    this.#logger = logger;
    this.#metrics = metrics;
    this.#startMs = clock.monoMs();
    this.sample();
  }

  /** Looks at all heartbeats. Called by a timer and before every answer. */
  sample(): Verdict {
    const reader = this.#reader;
    const verify = Array.from({ length: reader.shardCount }, (_, i) => reader.verifyBeat(i));
    const beats = [reader.mainBeat(), reader.persistBeat(), ...verify];
    this.#ages = this.#beats.observe(beats, this.#clock.monoMs());
    this.#reportStall('main', this.#mainAgeMs());
    // While it recovers or has ended, standing still is no stall.
    const state = reader.persistState();
    const isWorking = state === PersistState.running || state === PersistState.paused;
    this.#reportStall('persist', isWorking ? this.#persistAgeMs() : 0);
    const verdict = this.#verdict();
    this.#count(verdict);
    return verdict;
  }

  /** Body of /_healthz and /_readyz. */
  report(): { readonly verdict: Verdict; readonly body: object } {
    const verdict = this.sample();
    const reader = this.#reader;
    const body = {
      live: verdict.isLive,
      ready: verdict.isReady,
      reasons: verdict.reasons,
      phase: phaseName(reader.phase()),
      main_age_ms: Math.round(this.#mainAgeMs()),
      writer_age_ms: Math.round(this.#persistAgeMs()),
      verify_age_ms_max: Math.round(this.#verifyAgeMsMax()),
      log: persistStateName(reader.persistState()),
      log_pause: pauseCauseName(reader.pauseCause()),
      ballast: ballastStateName(reader.ballastState()),
      db: databaseStateName(reader.databaseState()),
      assigned_seq: reader.assignedSeq(),
      written_seq: reader.writtenSeq(),
      durable_seq: reader.durableSeq(),
      published_seq: reader.publishedSeq(),
      oldest_seq: reader.oldestSeq(),
      checkpoint_seq: reader.checkpointSeq(),
      uptime_seconds: Math.round((this.#clock.monoMs() - this.#startMs) / 1000),
    };
    return { verdict, body };
  }

  #mainAgeMs(): number {
    return this.#ages[0] ?? 0;
  }

  #persistAgeMs(): number {
    return this.#ages[1] ?? 0;
  }

  #verifyAgeMsMax(): number {
    return Math.max(0, ...this.#ages.slice(2));
  }

  #verdict(): Verdict {
    return healthVerdict({
      mainAgeMs: this.#mainAgeMs(),
      persistAgeMs: this.#persistAgeMs(),
      phase: this.#reader.phase(),
      persistState: this.#reader.persistState(),
    });
  }

  #reportStall(role: Watched, ageMs: number): void {
    const stall = this.#stalls[role].observe(ageMs);
    if (stall === undefined) return;
    const fields = { role, stalledSeconds: stall.seconds, phase: phaseName(this.#reader.phase()) };
    if (stall.kind === 'begun') this.#metrics.add(`relay_thread_stalls_total:${role}`);
    if (stall.kind === 'ended') {
      this.#metrics.add(`relay_thread_stall_seconds_total:${role}`, stall.seconds);
      this.#logger.warn(fields, `${role} runs again after ${stall.seconds} s`);
    } else {
      this.#logger.warn(fields, `${role} stalled for ${stall.seconds} s`);
    }
  }

  #count(verdict: Verdict): void {
    const metrics = this.#metrics;
    metrics.set('relay_thread_heartbeat_age_seconds:main', this.#mainAgeMs() / 1000);
    metrics.set('relay_thread_heartbeat_age_seconds:persist', this.#persistAgeMs() / 1000);
    metrics.set('relay_thread_heartbeat_age_seconds:verify', this.#verifyAgeMsMax() / 1000);
    metrics.set('relay_process_live', verdict.isLive ? 1 : 0);
    metrics.set('relay_process_ready', verdict.isReady ? 1 : 0);
  }
}
