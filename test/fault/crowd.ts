/**
 * Consumers with bad manners: one reads in short turns, one hardly at all, and bursts of new ones
 * ask for everything at once and leave in the middle. All of them see what the careful one sees.
 */
import { Prng } from '../../lib/base/prng.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { checkSame, eventually } from '../helpers/stream-checker.ts';

const BURST_COUNT = 8;
const BURST_MS = 700;

export class Crowd {
  readonly #url: () => string;
  readonly #prng: Prng;
  readonly #slow: RecordingConsumer;
  readonly #stalled: RecordingConsumer;
  readonly #left: RecordingConsumer[] = [];
  #burst: RecordingConsumer[] = [];
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(url: () => string, seed: number) {
    this.#url = url;
    this.#prng = new Prng(seed);
    this.#slow = new RecordingConsumer(url, 0);
    this.#stalled = new RecordingConsumer(url, 0);
    let turn = 0;
    this.#timers.push(
      setInterval(() => {
        turn++;
        if (turn % 4 === 0) this.#slow.resume();
        else this.#slow.pause();
        this.#stalled.pause();
      }, 50),
      setInterval(() => this.#newBurst(), BURST_MS),
    );
  }

  /** Lets them all read to the end; what is wrong with what any of them got. */
  async finish(live: RecordingConsumer): Promise<string[]> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#leave();
    const problems: string[] = [];
    for (const [name, consumer] of Object.entries({ slow: this.#slow, stalled: this.#stalled })) {
      consumer.resume();
      const isWhole = await eventually(() => consumer.lastSeq >= live.lastSeq, 30_000);
      if (!isWhole) problems.push(`${name}: ${consumer.lastSeq} of ${live.lastSeq}`);
      const { length } = consumer.received;
      if (length !== live.received.length) problems.push(`${name}: ${length} events`);
    }
    for (const consumer of [this.#slow, this.#stalled, ...this.#left]) {
      problems.push(...consumer.violations.map((text) => `crowd: ${text}`));
      problems.push(...checkSame(live.received, consumer.received));
    }
    return problems.slice(0, 20);
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#leave();
    this.#slow.stop();
    this.#stalled.stop();
  }

  #newBurst(): void {
    this.#leave();
    for (let i = 0; i < BURST_COUNT; i++) {
      const cursor = this.#prng.nextBelow(1 + this.#slow.lastSeq);
      this.#burst.push(new RecordingConsumer(this.#url, cursor));
    }
  }

  #leave(): void {
    for (const consumer of this.#burst) consumer.stop();
    this.#left.push(...this.#burst.filter(({ received }) => received.length > 0));
    this.#burst = [];
  }
}
