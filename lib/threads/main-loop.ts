/**
 * Main's duty cycle: fan-out and the reports of the verify threads, woken by commits and sockets.
 * Each pass is bounded and gives way to the event loop. The heartbeat is a timer on the same loop,
 * so it stops with it.
 * @thread main
 */
import { type Clock, nextTurn, type Timer } from '../base/clock.ts';
import type { Hub } from '../broadcast/hub.ts';
import type { Report } from '../ring/report-record.ts';
import type { ReportReader } from '../shard/router.ts';
import { CommitReader, CommitView } from '../shared/commit-cell.ts';
import type { SharedMemory } from '../shared/memory.ts';
import type { Words } from '../shared/regions.ts';

const BEAT_MS = 100;
const WAIT_MS_MAX = 100;
const REPORTS_PER_PASS = 256;

export type MainLoopParts = {
  readonly clock: Clock;
  readonly words: Words;
  readonly commit: SharedMemory;
  readonly hub: Hub;
  readonly reports: ReportReader;
  readonly onReport: (report: Report) => void;
};

export class MainLoop {
  readonly #parts: MainLoopParts;
  readonly #beat: Timer;
  readonly #ended: Promise<void>;
  #isStopping = false;

  constructor(parts: MainLoopParts) {
    this.#parts = parts;
    const beat = parts.words.writer('beatMain');
    this.#beat = parts.clock.every(BEAT_MS, () => beat.publish((beat.last() + 1) | 0), true);
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#parts.words.bell('bellMain').ring();
    await this.#ended;
    this.#beat.cancel();
  }

  async #run(): Promise<void> {
    const { clock, words, hub, reports, onReport } = this.#parts;
    const bell = words.bell('bellMain');
    const commits = new CommitReader(this.#parts.commit);
    const view = new CommitView();
    const wakeTail = words.writer('wakeTail');
    while (!this.#isStopping) {
      commits.read(view);
      let work = hub.poll(clock.monoMs());
      work += reports.poll(REPORTS_PER_PASS, onReport);
      if (work > 0) {
        await nextTurn();
        continue;
      }
      const nowMs = clock.monoMs();
      const waitMs = Math.min(hub.waitMs(nowMs), WAIT_MS_MAX);
      // Before the bell is armed: whoever finds it armed knows what it is armed for.
      wakeTail.publish(hub.wakeTail(nowMs));
      bell.arm();
      const hasWork = commits.hasNew() || reports.hasPending() || this.#isStopping;
      if (hasWork || waitMs <= 0) {
        bell.disarm();
        await nextTurn();
      } else await bell.wait(waitMs);
    }
  }
}
