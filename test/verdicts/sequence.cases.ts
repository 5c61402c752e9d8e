/** The numbers that a host gives its events, and what it does with our cursor: H34 … H41. */
import { syncFrame } from '../../scripts/fleet/event-frames.ts';
import type { FleetHost } from '../../scripts/fleet/fleet-host.ts';
import { eventually } from '../helpers/stream-checker.ts';
import type { VerdictCase } from './case.ts';
import { draftFrame, madeFrame, withValue } from './mangle.ts';
import type { Scene } from './scene.ts';

const RECONNECT_MS = 20_000;
const BURST = 150;

/** A good commit whose `seq` is this CBOR item. */
function verdictOfSeq(scene: Scene, hex: string): Promise<string> {
  return scene.verdictOf((stamp) => withValue(draftFrame(scene, stamp), 'seq', stamp.seq, hex));
}

/** The same, and whether the next connection starts before it, as if it had not been. */
async function withCursor(scene: Scene, hex: string): Promise<string> {
  const verdict = await verdictOfSeq(scene, hex);
  const { host } = scene;
  const lastGoodSeq = host.sent.at(-1)?.seq;
  const before = await scene.observe();
  scene.raw((stamp) => withValue(draftFrame(scene, stamp), 'seq', stamp.seq, hex));
  while ((await scene.observe()).rejectsSince(before).length === 0);
  await reconnected(host);
  const cursor = host.cursorsSeen.at(-1);
  return `${verdict}, cursor ${cursor === lastGoodSeq ? 'unchanged' : `${lastGoodSeq}: ${cursor}`}`;
}

/** The host restarts; resolves when the relay reads it again. */
async function reconnected(host: FleetHost): Promise<void> {
  const connects = host.cursorsSeen.length;
  host.dropReaders();
  const isBack = (): boolean => host.cursorsSeen.length > connects && host.readerCount === 1;
  if (!(await eventually(isBack, RECONNECT_MS))) throw new Error(`${host.name} is not read again`);
}

export const SEQUENCE: readonly VerdictCase[] = [
  {
    id: 'H34',
    input: '`seq` 0, -1, -2^63',
    specVerdict: 'DROP(bad-seq), cursor unchanged',
    expected: 'DROP host_seq_bad, cursor unchanged',
    rules: 'SQ-1',
    run: (scene) => scene.each({ 0: '00', '-1': '20', '-2^63': '3b7fffffffffffffff' }, withCursor),
  },
  {
    id: 'H35',
    input: '`seq` 2^53, 2^63, 2^64-1',
    specVerdict: 'DROP(bad-seq), cursor unchanged',
    expected: 'DROP host_seq_bad, cursor unchanged',
    rules: 'SQ-1',
    run: (scene) =>
      scene.each(
        {
          '2^53': '1b0020000000000000',
          '2^63': '1b8000000000000000',
          '2^64-1': '1bffffffffffffffff',
        },
        withCursor,
      ),
  },
  {
    id: 'H36',
    input: '`seq` equal to the last one',
    specVerdict: 'DROP(seq), connection kept',
    expected: 'DROP host_seq_regressed',
    rules: 'SQ-1, SQ-11',
    run: (scene) => scene.verdictOf(({ seq, time }) => draftFrame(scene, { seq: seq - 1, time })),
  },
  {
    id: 'H37',
    input: '`seq` goes back from over 1000 to 5, then on to 2000',
    specVerdict: 'DROP, PASS',
    expected: 'DROP host_seq_regressed, PASS',
    rules: 'SQ-1, SQ-11',
    run: (scene) => {
      scene.host.skipTo(1000);
      return scene.verdictOf([
        ({ time }) => {
          scene.host.skipTo(2000);
          return draftFrame(scene, { seq: 5, time });
        },
        (stamp) => madeFrame(scene, stamp),
      ]);
    },
  },
  {
    id: 'H38',
    input: '`seq` jumps by 10^12',
    specVerdict: 'PASS',
    expected: 'PASS',
    rules: 'SQ-1',
    run: (scene) =>
      scene.verdictOf(({ seq, time }) => {
        const far = seq + 10 ** 12;
        scene.host.skipTo(far + 1);
        return madeFrame(scene, { seq: far, time });
      }),
  },
  {
    id: 'H39',
    input: 'after a reconnect the host starts at `seq` 1, without a word',
    specVerdict: 'PASS, flagged',
    expected: 'PASS, flagged',
    rules: 'SQ-1, CH-1',
    run: async (scene) => {
      const { host } = scene;
      await scene.settled();
      const before = await scene.observe();
      host.keepNewest(0);
      host.isIgnoringCursors = true;
      host.skipTo(1);
      await reconnected(host);
      const verdict = await scene.verdictOf((stamp) => madeFrame(scene, stamp));
      const marks = (await scene.observe()).since(before, 'relay_upstream_renumbered_total');
      return `${verdict}, ${marks === 1 ? 'flagged' : `flagged ${marks} times`}`;
    },
  },
  {
    id: 'H40',
    input: 'the host ignores our cursor and sends all its commits and syncs again',
    specVerdict: 'DROP(old-rev)',
    expected: 'DROP commit_rev_stale',
    rules: 'CH-1',
    run: (scene) => {
      const { host, subject } = scene;
      scene.goodFrame(subject, (stamp) => syncFrame(subject.repo.sync(), stamp));
      return scene.verdictAfter(() => {
        host.isIgnoringCursors = true;
        host.dropReaders();
      });
    },
  },
  {
    id: 'H41',
    input: 'kill -9 between receipt and processing; the host honours the cursor it is asked for',
    specVerdict: 'replay from the processed seq, no loss, each once',
    expected: 'replay from the processed seq, no loss, each once',
    rules: 'SQ-13',
    run: async (scene) => {
      const { host, subject, neighbour, world } = scene;
      await scene.settled();
      const processedSeq = host.sent.at(-1)?.seq ?? 0;
      const strangers = world.ledger.strangers.length;
      // All in one turn of our loop: nothing of it can have come out of the relay before it ends.
      for (let i = 0; i < BURST; i++) scene.good(i % 2 === 0 ? subject : neighbour);
      const burstSeq = host.sent.at(-1)?.seq ?? 0;
      const missing = world.ledger.missingCount;
      await world.killAndRestart();
      await scene.settled();
      const cursor = host.cursorsSeen.at(-1) ?? -1;
      const isReplay = cursor >= 0 && cursor < burstSeq && missing === BURST;
      return [
        isReplay ? 'replay from the processed seq' : `asked for ${cursor} of ${processedSeq}`,
        'no loss',
        world.ledger.strangers.length === strangers ? 'each once' : 'some twice',
      ].join(', ');
    },
  },
];
