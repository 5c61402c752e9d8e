/**
 * What the one consumer of a verdict run ought to get. Good frames are written down when they are
 * sent; each must arrive once, unchanged but for `seq`, in the order of its account. Anything else
 * that arrives is a stranger: what became of a hostile input.
 */
import {
  describeFrame,
  type Received,
  type RecordingConsumer,
} from '../helpers/recording-consumer.ts';

export type Stranger = { readonly received: Received; readonly bytes: Buffer };

export class Ledger {
  /** Digests of good frames that have not arrived, by account, in order. */
  readonly #expected = new Map<string, string[]>();
  readonly strangers: Stranger[] = [];
  #missingCount = 0;

  constructor(consumer: RecordingConsumer) {
    consumer.onFrame = (bytes, received) => this.#onFrame(bytes, received);
  }

  /** Good frames that have not arrived yet. */
  get missingCount(): number {
    return this.#missingCount;
  }

  expect(bytes: Buffer): void {
    const { did, digest } = describeFrame(bytes);
    const queue = this.#expected.get(did);
    if (queue === undefined) this.#expected.set(did, [digest]);
    else queue.push(digest);
    this.#missingCount += 1;
  }

  #onFrame(bytes: Buffer, received: Received): void {
    const queue = this.#expected.get(received.did);
    if (queue?.[0] === received.digest) {
      queue.shift();
      this.#missingCount -= 1;
    } else {
      this.strangers.push({ received, bytes });
    }
  }
}
