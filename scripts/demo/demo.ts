/**
 * One run of the demo: hosts up, relay up, load on, load off, everything down. Whatever ends it,
 * nothing is left behind: no process, no file.
 */
import { nextTurn } from '../../lib/base/clock.ts';
import { Fleet } from '../fleet/fleet.ts';
import type { FleetHost } from '../fleet/fleet-host.ts';
import { DemoConsumer } from './consumer.ts';
import { Forger } from './forger.ts';
import { Ledger } from './ledger.ts';
import { NO_SAMPLE, rejectCount, type Sample } from './metrics.ts';
import type { DemoOptions } from './options.ts';
import { RelayProcess } from './relay-process.ts';
import { liveLine, problemsOf, summaryLines } from './report.ts';
import type { Screen } from './screen.ts';

const LIVE_MS = 200;
const PLAIN_MS = 1000;
const PORTION_MS = 20;
/** Events are made for so long at most before sockets get their turn. */
const WORK_MS_MAX = 5;
const FORGE_MS = 400;
/** Most that is owed to the rate after the machine stood still. */
const OWED_SECONDS_MAX = 1;
/** How long nothing may arrive before what is missing is missing. */
const DRAIN_IDLE_MS = 5000;
const READY_MS_MAX = 60_000;
const CRAWLS_AT_A_TIME = 16;
/** More than this under way, and the load waits: a relay that is overrun must not cost memory. */
const WAITING_EVENTS_MAX = 10_000;
/** What a host keeps of its stream besides what is under way. */
const BACKLOG_FRAMES = 100;
const BACKLOG_PERIOD_MS = 1000;

export class Demo {
  readonly #options: DemoOptions;
  readonly #screen: Screen;
  readonly #stopping = new AbortController();
  readonly #ledger = new Ledger();
  #fleet: Fleet | undefined;
  #relay: RelayProcess | undefined;
  #consumer: DemoConsumer | undefined;
  #sample: Sample = NO_SAMPLE;
  #isSampling = false;
  #hasFailed = false;
  #display: NodeJS.Timeout | undefined;
  #startMs = 0;
  /** Of about the last second: when, and how many had arrived. */
  #history: { readonly ms: number; readonly count: number }[] = [];

  constructor(options: DemoOptions, screen: Screen) {
    this.#options = options;
    this.#screen = screen;
  }

  /** Ends the load and then the rest, in order. */
  stop(): void {
    this.#stopping.abort();
  }

  /** Ends everything now. */
  async kill(): Promise<void> {
    await this.#relay?.kill();
  }

  /** For an exit that leaves no time. */
  abandon(): void {
    this.#relay?.abandon();
  }

  /** Resolves with the exit code. */
  async run(): Promise<number> {
    let runSeconds = 0;
    try {
      await this.#start();
      runSeconds = await this.#load();
    } catch (error) {
      // An interrupted start is a short run.
      if (!this.#stopping.signal.aborted) this.#complain(error);
    }
    await this.#takeDown();
    return this.#conclude(runSeconds);
  }

  async #start(): Promise<void> {
    const { hosts: hostCount, accounts: accountsPerHost, seed } = this.#options;
    const { signal } = this.#stopping;
    const onHost = (count: number): void => {
      if (this.#screen.isLive) this.#screen.show(`making keys: host ${count} of ${hostCount}`);
    };
    this.#fleet = await Fleet.start({ hostCount, accountsPerHost, seed, onHost });
    for (const host of this.#fleet.hosts) this.#watch(host);
    this.#screen.show('starting the relay and its database');
    this.#relay = new RelayProcess(this.#fleet.directory.url);
    await this.#relay.untilServing(signal);
    await this.#crawl(this.#relay, this.#fleet);
    this.#consumer = new DemoConsumer(this.#relay.streamUrl, this.#ledger);
    const { hosts } = this.#fleet;
    const isReady = (): boolean =>
      this.#consumer?.isOpen === true && hosts.every((host) => host.readerCount > 0);
    if (!(await this.#until(isReady, READY_MS_MAX)))
      throw new Error('the relay reads not all hosts');
  }

  #watch(host: FleetHost): void {
    host.onSend = ({ bytes }, isPoison) => {
      if (isPoison) this.#ledger.onForged(bytes);
      else this.#ledger.onSent(bytes, performance.now());
    };
  }

  async #crawl(relay: RelayProcess, fleet: Fleet): Promise<void> {
    const waiting = [...fleet.hosts];
    const { signal } = this.#stopping;
    const work = async (): Promise<void> => {
      for (let host = waiting.pop(); host !== undefined; host = waiting.pop()) {
        await relay.requestCrawl(host.hostname, signal);
        if (this.#screen.isLive) this.#screen.show(`adding hosts: ${waiting.length} to go`);
      }
    };
    await Promise.all(Array.from({ length: CRAWLS_AT_A_TIME }, work));
  }

  /** Events and forgeries until the time is over or the end was asked for; how long that took. */
  async #load(): Promise<number> {
    const fleet = this.#fleet as Fleet;
    const forger = new Forger(fleet);
    const { rate, seconds } = this.#options;
    const startMs = performance.now();
    const endMs = seconds === 0 ? Number.POSITIVE_INFINITY : startMs + 1000 * seconds;
    this.#startMs = startMs;
    this.#display = setInterval(() => void this.#show(), this.#screen.isLive ? LIVE_MS : PLAIN_MS);
    const forging = setInterval(() => forger.step(performance.now()), FORGE_MS);
    const trimming = setInterval(() => this.#trim(fleet), BACKLOG_PERIOD_MS);
    forger.step(startMs);
    try {
      let paidMs = startMs;
      let owed = 0;
      while (performance.now() < endMs && !this.#stopping.signal.aborted) {
        const nowMs = performance.now();
        owed = Math.min(owed + (rate * (nowMs - paidMs)) / 1000, rate * OWED_SECONDS_MAX);
        paidMs = nowMs;
        owed -= this.#send(fleet, owed, nowMs + WORK_MS_MAX);
        this.#checkRelay();
        if (owed >= 1 && this.#ledger.waitingCount <= WAITING_EVENTS_MAX) await nextTurn();
        else await pause(PORTION_MS);
      }
      clearInterval(forging);
      await this.#drain();
    } finally {
      for (const timer of [this.#display, forging, trimming]) clearInterval(timer);
      this.#display = undefined;
    }
    return (performance.now() - startMs) / 1000;
  }

  /** Causes about `owed` events, not beyond `untilMs`; how many it were. */
  #send(fleet: Fleet, owed: number, untilMs: number): number {
    const ledger = this.#ledger;
    const before = ledger.sentCount;
    // A new account announces itself with several.
    while (ledger.sentCount - before + 1 <= owed && performance.now() < untilMs) {
      if (ledger.waitingCount > WAITING_EVENTS_MAX) break;
      fleet.step();
    }
    return ledger.sentCount - before;
  }

  /** What has arrived is not needed any more. */
  #trim(fleet: Fleet): void {
    const frameCount = BACKLOG_FRAMES + this.#ledger.waitingCount;
    for (const host of fleet.hosts) host.keepNewest(frameCount);
  }

  /** Waits for what is under way; gives up when nothing has moved for a while. */
  async #drain(): Promise<void> {
    const ledger = this.#ledger;
    let lastCount = -1;
    let idleSinceMs = performance.now();
    while (performance.now() - idleSinceMs < DRAIN_IDLE_MS) {
      this.#checkRelay();
      await this.#takeSample();
      const isJudged = rejectCount(this.#sample) >= ledger.forgedCount;
      if (ledger.waitingCount <= 0 && isJudged) return;
      const count = ledger.receivedCount + rejectCount(this.#sample);
      if (count !== lastCount) idleSinceMs = performance.now();
      lastCount = count;
      await pause(PORTION_MS);
    }
  }

  #checkRelay(): void {
    if (this.#relay?.exit !== undefined) throw new Error('the relay ended by itself');
  }

  async #show(): Promise<void> {
    await this.#takeSample();
    if (this.#display === undefined) return;
    const nowMs = performance.now();
    const count = this.#ledger.receivedCount;
    this.#history = [...this.#history.filter(({ ms }) => nowMs - ms < 1500), { ms: nowMs, count }];
    const oldest = this.#history[0] ?? { ms: nowMs, count };
    const elapsedMs = nowMs - (this.#history.length > 1 ? oldest.ms : this.#startMs);
    const before = this.#history.length > 1 ? oldest.count : 0;
    const eventsPerSecond = (1000 * (count - before)) / Math.max(1, elapsedMs);
    const seconds = (nowMs - this.#startMs) / 1000;
    this.#screen.show(liveLine(this.#ledger, this.#sample, { seconds, eventsPerSecond, nowMs }));
  }

  async #takeSample(): Promise<void> {
    if (this.#isSampling || this.#relay === undefined) return;
    this.#isSampling = true;
    try {
      this.#sample = await this.#relay.sample();
    } catch {
      // The next one will do; a relay that is gone is noticed elsewhere.
    } finally {
      this.#isSampling = false;
    }
  }

  async #takeDown(): Promise<void> {
    if (this.#screen.isLive) this.#screen.show('stopping');
    this.#consumer?.stop();
    await this.#relay?.stop();
    await this.#fleet?.stop();
  }

  #conclude(runSeconds: number): number {
    const screen = this.#screen;
    const ledger = this.#ledger;
    const problems = problemsOf(ledger);
    const relayProblem = this.#relay?.problem;
    if (relayProblem !== undefined) problems.push(relayProblem);
    if (runSeconds > 0) {
      const lines = summaryLines(this.#options, ledger, this.#sample, runSeconds);
      for (const line of lines) screen.print(line);
    } else if (!this.#hasFailed) screen.print('ended before the first event');
    for (const problem of problems) screen.print(`WRONG: ${problem}`);
    if (problems.length > 0) for (const line of this.#relay?.complaints ?? []) screen.print(line);
    return problems.length > 0 || this.#hasFailed ? 1 : 0;
  }

  #complain(error: unknown): void {
    this.#hasFailed = true;
    this.#screen.print(error instanceof Error ? error.message : String(error));
  }

  async #until(condition: () => boolean, msMax: number): Promise<boolean> {
    const endMs = performance.now() + msMax;
    while (!condition()) {
      this.#stopping.signal.throwIfAborted();
      this.#checkRelay();
      if (performance.now() > endMs) return false;
      await pause(PORTION_MS);
    }
    return true;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
