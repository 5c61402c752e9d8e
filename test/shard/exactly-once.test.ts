/**
 * G9, G10, G18 over random schedules: frames, commits, rows, look-ups and flushes in any order, and
 * the shard ends at any store into shared memory, also while its successor rebuilds. Every input is
 * answered once, in order per account, with the event of our own that belongs to it, once as well; rows are never ahead of the log; `completed` never passes an
 * input that is held, not durable or not written; in the end everything is done.
 */
import fc from 'fast-check';
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { distance, KiB } from '../../lib/base/units.ts';
import type { AccountState } from '../../lib/store/account-rows.ts';
import { Actor, type ActorKind, type Input, type Life, type State } from './actors.ts';
import { Killed, ShardBench, StoreSpy } from './shard-world.ts';

type Step =
  | { readonly do: 'route' | 'settle' | 'fail'; readonly which: number }
  | { readonly do: 'poll' | 'persist' | 'settleAll' | 'flush' }
  | { readonly do: 'arm'; readonly what: 'kill' | 'persist'; readonly storeCount: number };

const KINDS: readonly ActorKind[] = [
  ...Array<ActorKind>(8).fill('commit'),
  ...(['sync', 'identity', 'identity', 'off', 'on', 'on', 'forged', 'garbage'] as const),
];
const FRAMES_PER_ACTOR = 14;
const END_ROUNDS = 150;

/** Accounts with a fixed life each; about two of them we have something of our own to say. */
const LIVES: readonly (readonly [name: string, life: Life])[] = [
  ['alice', 'plain'],
  ['bob', 'plain'],
  ['carol', 'missed'],
  ['dan', 'gone'],
];
function makeCast(seed: number): { actors: Actor[]; scripts: Input[][] } {
  const prng = new Prng(seed);
  const actors = LIVES.map(([name, life]) => new Actor(`${name}${'x'.repeat(seed)}`, life));
  const scripts = actors.map((actor) =>
    Array.from({ length: FRAMES_PER_ACTOR }, () =>
      actor.make(KINDS[prng.nextBelow(KINDS.length)] ?? 'commit'),
    ),
  );
  return { actors, scripts };
}
type Cast = ReturnType<typeof makeCast>;
const CASTS = [1, 2, 3].map(makeCast);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({ do: fc.constant('route' as const), which: fc.nat(LIVES.length - 1) }),
  },
  { weight: 8, arbitrary: fc.constant({ do: 'poll' as const }) },
  { weight: 4, arbitrary: fc.constant({ do: 'persist' as const }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('settle' as const), which: fc.nat(5) }) },
  { weight: 4, arbitrary: fc.constant({ do: 'settleAll' as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fail' as const), which: fc.nat(5) }) },
  { weight: 3, arbitrary: fc.constant({ do: 'flush' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('arm' as const),
      what: fc.constantFrom('kill' as const, 'kill' as const, 'persist' as const),
      storeCount: fc.nat(30),
    }),
  },
);

/** What the log has of each input. */
type Seqs = Map<Input, { readonly seq: number; readonly state: State }[]>;

type Arm = { readonly what: 'kill' | 'persist'; left: number };

class Run {
  readonly bench: ShardBench;
  readonly routed: Input[] = [];
  readonly rowsWritten: { row: AccountState; durableSeq: number }[] = [];
  readonly marks: {
    readonly completedNo: number;
    readonly durableSeq: number;
    readonly rejected: ReadonlySet<number>;
    readonly rowSeqs: ReadonlyMap<string, number>;
  }[] = [];
  killCount = 0;
  rebuildKillCount = 0;
  /** Events of our own that were due. */
  ownCount = 0;
  /** `persist` is so fast that it has done all there is before each store of the shard. */
  isPersistFast = false;
  /** Between the end of a shard and the start of its successor. */
  onKilled: () => void = () => {};
  readonly #spy: StoreSpy;
  readonly #scripts: readonly (readonly Input[])[];
  readonly #next: number[];
  #arms: Arm[] = [];
  #isKilled = false;

  constructor(cast: Cast, spy: StoreSpy) {
    this.#spy = spy;
    this.#scripts = cast.scripts;
    this.#next = cast.scripts.map(() => 0);
    const sizes = { ingest: 32 * KiB, verified: 16 * KiB, held: 16 * KiB };
    this.bench = new ShardBench(sizes, {
      accountCountMax: 1,
      dirtyCountMax: 1,
      // Nothing is given up here: every verdict depends on the frames alone.
      identityHoldMs: 1e9,
      identityHoldBytesMax: 1e9,
      statusCheckMsMin: 0,
      statusChecksPerHostMax: 1e9,
    });
    for (const actor of cast.actors) actor.enrol(this.bench);
    this.bench.onRow = (row) =>
      this.rowsWritten.push({ row: { ...row }, durableSeq: this.bench.durableSeq });
  }

  /** The k-th store from now: the shard ends before it, or `persist` comes in between. */
  #onStore = (): void => {
    if (this.isPersistFast) this.#spy.unseen(() => this.bench.persist());
    for (const arm of this.#arms) arm.left -= 1;
    const due = this.#arms.find((arm) => arm.left <= 0);
    if (due === undefined) return;
    this.#arms = this.#arms.filter((arm) => arm !== due);
    if (due.what === 'persist') {
      this.#spy.unseen(() => this.bench.persist());
      return;
    }
    this.#isKilled = true;
    this.#spy.onStore = undefined;
    throw new Killed('ended by the test');
  };

  /** Runs code of the shard. */
  async #inShard(action: () => unknown): Promise<void> {
    if (this.bench.shard === undefined) return;
    this.#spy.onStore = this.#onStore;
    try {
      await action();
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
    }
    this.#spy.onStore = undefined;
    if (this.#isKilled) {
      this.killCount += 1;
      this.onKilled();
      await this.succeed();
    }
    this.#mark();
  }

  /** A successor, and its successors should it end while it rebuilds. */
  async succeed(): Promise<void> {
    for (;;) {
      this.#isKilled = false;
      const { bench } = this;
      const assembly = bench.create();
      this.#spy.onStore = this.#onStore;
      try {
        bench.finish(await bench.during(assembly.rebuild()));
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
      }
      this.#spy.onStore = undefined;
      if (!this.#isKilled) return;
      this.rebuildKillCount += 1;
    }
  }

  async take(step: Step): Promise<void> {
    const { bench } = this;
    switch (step.do) {
      case 'route':
        this.#route(step.which);
        return;
      case 'poll':
        return this.#inShard(() => bench.shard?.poll());
      case 'persist':
        bench.persist();
        return;
      case 'settle':
        return this.#inShard(() => this.#settle(step.which, true));
      case 'fail':
        return this.#inShard(() => this.#settle(step.which, false));
      case 'settleAll':
        return this.#inShard(async () => {
          for (const question of bench.questions.splice(0)) question.answer();
          await bench.clock.advance(0);
        });
      case 'flush':
        return this.#inShard(() => bench.clock.advance(60));
      case 'arm':
        this.#arms.push({ what: step.what, left: step.storeCount });
    }
  }

  #route(which: number): void {
    const input = this.#scripts[which]?.[this.#next[which] ?? 0];
    if (input === undefined || !this.bench.route(input.frame)) return;
    this.#next[which] = (this.#next[which] ?? 0) + 1;
    this.routed.push(input);
  }

  async #settle(which: number, isGood: boolean): Promise<void> {
    const { questions, clock } = this.bench;
    if (questions.length === 0) return;
    const [question] = questions.splice(which % questions.length, 1);
    if (isGood) question?.answer();
    else question?.fail();
    await clock.advance(0);
  }

  #mark(): void {
    const { bench } = this;
    bench.readReports();
    if (this.marks.at(-1)?.completedNo === bench.completedNo) return;
    this.marks.push({
      completedNo: bench.completedNo,
      durableSeq: bench.durableSeq,
      rejected: new Set(bench.rejected.keys()),
      rowSeqs: new Map([...bench.rows].map(([did, { seq }]) => [did, seq])),
    });
  }

  /** Nothing stands in the way any more: everything must come to its end. */
  async end(): Promise<void> {
    this.#arms = [];
    for (let i = 0; i < END_ROUNDS && this.bench.completedNo !== this.routed.length; i++) {
      await this.bench.round();
      await this.bench.clock.advance(100);
      this.#mark();
    }
    await this.bench.stop();
  }

  async check(): Promise<void> {
    const { bench, routed } = this;
    const records = await bench.records();
    same(bench.completedNo, routed.length, 'everything is done in the end');
    const seqs: Seqs = new Map();
    for (const did of new Set(routed.map((input) => input.did))) {
      const own = routed.filter((input) => input.did === did);
      const expected = own.flatMap((input) => [
        ...(input.own === undefined ? [] : [{ input, hostSeq: 0, state: input.own }]),
        ...(input.isGood ? [{ input, hostSeq: input.hostSeq, state: input.state }] : []),
      ]);
      const logged = records.filter((record) => record.did === did);
      same(
        logged.map((record) => record.hostSeq),
        expected.map((event) => event.hostSeq),
        'G3, G9: all that is right, in order, and what we say of it, and nothing else',
      );
      for (const [i, { input, state }] of expected.entries()) {
        const { seq, shown } = logged[i] as (typeof logged)[number];
        const told = seqs.get(input) ?? [];
        seqs.set(input, [...told, { seq, state }]);
        if (shown === undefined) continue;
        const wanted = [state.isUpstreamActive, state.upstreamStatus];
        same(shown, wanted, 'what consumers are told');
      }
      const last = expected.at(-1);
      if (last === undefined) continue;
      const row = { ...last.state, seq: logged.at(-1)?.seq };
      same(pick(bench.rows.get(did)), row, 'the row at the end');
    }
    same([...seqs.values()].flat().length, records.length, 'G9: no event twice');
    for (const { hostSeq, isGood } of routed) {
      same(bench.rejected.has(hostSeq), !isGood, `reject of ${hostSeq}`);
    }
    this.ownCount = routed.filter((input) => input.own !== undefined).length;
    this.#checkRows(seqs);
    this.#checkMarks(seqs);
  }

  #checkRows(seqs: Seqs): void {
    const eventAt = new Map<number, { did: string; state: State }>();
    for (const [{ did }, events] of seqs) {
      for (const { seq, state } of events) eventAt.set(seq, { did, state });
    }
    for (const { row, durableSeq } of this.rowsWritten) {
      same(row.seq <= durableSeq, true, 'G10: no row is ahead of the log');
      const event = eventAt.get(row.seq);
      same(pick(row), { ...event?.state, seq: row.seq }, 'G10: a row is what the log says');
      same(row.did, event?.did, 'of that account');
    }
  }

  #checkMarks(seqs: Seqs): void {
    for (const { completedNo, durableSeq, rejected, rowSeqs } of this.marks) {
      for (const [i, input] of this.routed.entries()) {
        if (distance(i + 1, completedNo) > 0) break;
        const isWritten = (seqs.get(input) ?? []).every(
          ({ seq }) => seq <= durableSeq && (rowSeqs.get(input.did) ?? 0) >= seq,
        );
        const isDone = isWritten && (input.isGood || rejected.has(input.hostSeq));
        same(isDone, true, `G9: completed ${completedNo} passes input ${i + 1}`);
      }
    }
  }
}

function pick(row: AccountState | undefined) {
  if (row === undefined) return undefined;
  const { hostId, isUpstreamActive, upstreamStatus, rev, commitCid, dataCid, seq } = row;
  return { hostId, isUpstreamActive, upstreamStatus, rev, commitCid, dataCid, seq };
}

function same(found: unknown, wanted: unknown, message: string): void {
  if (JSON.stringify(found) === JSON.stringify(wanted)) return;
  throw new Error(`${message}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
}

t.test('G9, G10, G18: whenever the shard ends, nothing is lost, doubled or early', async (t) => {
  const spy = new StoreSpy();
  t.teardown(() => spy.remove());
  const seen = { runs: 0, routed: 0, kills: 0, rebuildKills: 0, own: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.nat(CASTS.length - 1),
      fc.array(step, { minLength: 20, maxLength: 150, size: 'max' }),
      async (which, steps) => {
        const run = new Run(CASTS[which] as Cast, spy);
        try {
          await run.succeed();
          for (const step of steps) await run.take(step);
          await run.end();
          await run.check();
        } finally {
          spy.onStore = undefined;
        }
        seen.runs += 1;
        seen.routed += run.routed.length;
        seen.kills += run.killCount;
        seen.rebuildKills += run.rebuildKillCount;
        seen.own += run.ownCount;
      },
    ),
    {
      numRuns: Number(process.argv[2] ?? 100),
      interruptAfterTimeLimit: Number(process.argv[3] ?? 2500),
    },
  );
  t.comment(JSON.stringify(seen));
  t.ok(seen.kills > 20, 'shards did end');
  t.ok(seen.own > 0, 'events of our own were due');
});

/** Frames are held for their row, then for the key, answered, made durable, read back, written. */
const WHOLE_WAY: readonly Step[] = [
  ...[0, 1, 0, 0, 1].map((which) => ({ do: 'route' as const, which })),
  { do: 'poll' },
  { do: 'settleAll' },
  { do: 'poll' },
  { do: 'route', which: 0 },
  { do: 'route', which: 2 },
  { do: 'settleAll' },
  { do: 'poll' },
  { do: 'persist' },
  { do: 'poll' },
  { do: 'settleAll' },
  { do: 'route', which: 1 },
  { do: 'poll' },
  { do: 'flush' },
  { do: 'settleAll' },
  { do: 'flush' },
];

/** An event of our own before the host's, one instead of it, one before an #identity. */
function makeOwnCast(): Cast {
  const actors = [
    new Actor('erin', 'missed'),
    new Actor('frank', 'gone'),
    new Actor('grace', 'gone'),
  ];
  const lives: readonly (readonly ActorKind[])[] = [
    ['off', 'commit', 'commit'],
    ['commit', 'identity'],
    ['identity', 'commit'],
  ];
  const scripts = actors.map((actor, i) => (lives[i] ?? []).map((kind) => actor.make(kind)));
  return { actors, scripts };
}
const OWN_WAY: readonly Step[] = [
  ...[0, 1, 2].map((which) => ({ do: 'route' as const, which })),
  ...Array.from({ length: 3 }, (): Step[] => [{ do: 'poll' }, { do: 'settleAll' }]).flat(),
  ...[0, 1, 2, 0].map((which) => ({ do: 'route' as const, which })),
  ...Array.from({ length: 4 }, (): Step[] => [{ do: 'poll' }, { do: 'settleAll' }]).flat(),
  { do: 'persist' },
  { do: 'poll' },
  { do: 'flush' },
  { do: 'settleAll' },
  { do: 'flush' },
];

const WAYS = [
  ['slow', 'frames of hosts', CASTS[0] as Cast, WHOLE_WAY],
  ['fast', 'frames of hosts', CASTS[0] as Cast, WHOLE_WAY],
  ['slow', 'events of our own', makeOwnCast(), OWN_WAY],
  ['fast', 'events of our own', makeOwnCast(), OWN_WAY],
] as const;

for (const [speed, what, cast, way] of WAYS) {
  t.test(`G18: a shard ends at any store, its successor too: ${what}, ${speed}`, async (t) => {
    const spy = new StoreSpy();
    t.teardown(() => spy.remove());
    let count = 0;
    const attempt = async (first: number, second: number): Promise<Run> => {
      const run = new Run(cast, spy);
      await run.succeed();
      run.isPersistFast = speed === 'fast';
      run.onKilled = () => {
        run.onKilled = () => {};
        // What the dead shard had published is durable before its successor looks.
        run.bench.persist();
        void run.take({ do: 'arm', what: 'kill', storeCount: second });
      };
      await run.take({ do: 'arm', what: 'kill', storeCount: first });
      for (const step of way) await run.take(step);
      await run.end();
      await run.check().catch((error: Error) => {
        throw new Error(`ended at ${first}, then at ${second}: ${error.message}`);
      });
      count += 1;
      return run;
    };
    for (let first = 0; ; first++) {
      let run = await attempt(first, 0);
      if (run.killCount === 0) break;
      for (let second = 1; run.rebuildKillCount > 0; second++) run = await attempt(first, second);
    }
    t.comment(`${count} ways to end`);
    t.ok(count > 100);
  });
}
