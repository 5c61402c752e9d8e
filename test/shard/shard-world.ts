/**
 * A shard with everything around it on one thread: real rings in shared memory, the real log
 * writer on a disk in memory, rows and directory as lists of questions that a test answers.
 * `StoreSpy` sees every store into shared memory, and can end the shard before any.
 */

import type { RepoStatusAnswer } from '../../lib/accounts/repo-status.ts';
import { RelayFault } from '../../lib/base/fault.ts';
import { KiB, MiB, toSeq } from '../../lib/base/units.ts';
import type { ResolveOutcome } from '../../lib/identity/outcome.ts';
import type { PersistStage } from '../../lib/log/persist-stage.ts';
import { PersistStage as Stage } from '../../lib/log/persist-stage.ts';
import type { LogRecord } from '../../lib/log/records.ts';
import { openLog } from '../../lib/log/recovery.ts';
import { silentLogger } from '../../lib/logging/logger.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { REJECT_CODES, type RejectCode } from '../../lib/reject/codes.ts';
import { RingConsumer } from '../../lib/ring/consumer.ts';
import { allocateRing } from '../../lib/ring/descriptor.ts';
import type { Regions } from '../../lib/ring/regions.ts';
import { readReport, type UsageReport } from '../../lib/ring/report-record.ts';
import { Sequencer } from '../../lib/sequence/sequencer.ts';
import { ShardAssembly } from '../../lib/shard/assemble.ts';
import type { Waiting } from '../../lib/shard/rebuild.ts';
import { Router } from '../../lib/shard/router.ts';
import type { Shard } from '../../lib/shard/shard.ts';
import type { VerifyTask } from '../../lib/shard/task.ts';
import type { ShardWorld } from '../../lib/shard/world.ts';
import {
  COMMIT_BYTES,
  CommitReader,
  CommitView,
  CommitWriter,
} from '../../lib/shared/commit-cell.ts';
import { allocateShared } from '../../lib/shared/memory.ts';
import { PositionWriter } from '../../lib/shared/position.ts';
import { allocateWords, Words } from '../../lib/shared/regions.ts';
import { allocateTailRing, TailWriter } from '../../lib/shared/tail-ring.ts';
import { WordArray } from '../../lib/shared/word-array.ts';
import type { AccountRow, AccountState } from '../../lib/store/account-rows.ts';
import type { IdentityRow } from '../../lib/store/identity-rows.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_ACCOUNT, type Kind } from '../../lib/wire/kinds.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { recordsOf } from '../log/log-world.ts';
import { SimDisk } from '../log/sim-disk.ts';

const LOG_DIRECTORY = '/data/log';
export const HOST_ID = 7;
export const HOST = 'pds.example.com';
export const START_MS = Date.UTC(2026, 0, 1);

export type Sizes = { ingest?: number; verified?: number; held?: number };

/** A question to the world that waits for its answer. */
export type Question = {
  readonly what: 'load' | 'upsert' | 'identities' | 'resolve' | 'status';
  readonly dids: readonly string[];
  /** The shard that asked; it may be dead by now. */
  readonly generation: number;
  answer(): void;
  fail(): void;
};

export type LoggedEvent = {
  readonly seq: number;
  readonly hostSeq: number;
  readonly hostId: number;
  readonly upstreamCrc: number;
  readonly did: string;
  readonly frame: Buffer;
  /** Of an account event: `active`, `status`. */
  readonly shown?: readonly unknown[];
};

export class Killed extends Error {}

/** Sees the stores of the shard into shared memory, all of them single words. */
export class StoreSpy {
  /** Called before each store. What comes after the last one changes nothing that is shared. */
  onStore: (() => void) | undefined;
  readonly #publish = PositionWriter.prototype.publish;
  readonly #store = WordArray.prototype.store;

  constructor() {
    const spy = this;
    const publish = this.#publish;
    const store = this.#store;
    PositionWriter.prototype.publish = function (this: PositionWriter, value) {
      spy.onStore?.();
      publish.call(this, value);
    };
    WordArray.prototype.store = function (this: WordArray, offset, value) {
      spy.onStore?.();
      store.call(this, offset, value);
    };
  }

  /** Runs without being seen: what another thread does meanwhile. */
  unseen(action: () => void): void {
    const { onStore } = this;
    this.onStore = undefined;
    try {
      action();
    } finally {
      this.onStore = onStore;
    }
  }

  remove(): void {
    PositionWriter.prototype.publish = this.#publish;
    WordArray.prototype.store = this.#store;
  }
}

export class ShardBench {
  readonly words = new Words(allocateWords());
  readonly metrics = new MetricWriter();
  readonly persistMetrics = new MetricWriter();
  readonly router: Router;
  readonly stage: PersistStage;
  readonly questions: Question[] = [];
  readonly rows = new Map<string, AccountState>();
  readonly identities = new Map<string, IdentityRow>();
  /** What the directory says. */
  readonly directory = new Map<string, ResolveOutcome>();
  /** What hosts say of their accounts when asked. */
  readonly repoStatus = new Map<string, RepoStatusAnswer>();
  /** Reports of rejected frames by host seq. */
  readonly rejected = new Map<number, RejectCode[]>();
  /** What hosts cost, as reported. */
  readonly usage: UsageReport[] = [];
  /** The DID in the last report of each reason. */
  readonly rejectedDids = new Map<RejectCode, string>();
  /** Looks at every row before it is written. */
  onRow: (row: AccountState) => void = () => {};
  clock = new ManualClock(1000, START_MS);
  generation = 0;
  shard: Shard | undefined;
  assembly: ShardAssembly | undefined;
  readonly view = new CommitView();
  readonly #regions: Regions;
  readonly #disk = new SimDisk();
  readonly #reports: RingConsumer;
  readonly #commit: CommitReader;
  readonly #peek = new Peek();
  readonly #task: Partial<VerifyTask>;

  constructor(sizes: Sizes = {}, task: Partial<VerifyTask> = {}) {
    this.#task = task;
    this.#regions = {
      shardCount: 1,
      words: this.words.memory,
      commit: allocateShared(COMMIT_BYTES),
      tail: allocateTailRing(16 * MiB),
      pages: [],
      ingest: [allocateRing(sizes.ingest ?? 64 * KiB)],
      verified: [allocateRing(sizes.verified ?? 64 * KiB)],
      held: [allocateRing(sizes.held ?? 64 * KiB)],
      reports: [allocateRing(64 * KiB)],
    };
    this.router = new Router(this.#regions.ingest, [this.words.shardBell(0)], new MetricWriter());
    this.#reports = new RingConsumer(this.#memory('reports'));
    this.#commit = new CommitReader(this.#regions.commit);
    this.stage = this.#openStage();
    this.stage.start();
  }

  /** A region, to look into or to prepare. */
  memory(name: 'ingest' | 'verified' | 'held' | 'reports') {
    return this.#memory(name);
  }

  #memory(name: 'ingest' | 'verified' | 'held' | 'reports') {
    const memory = this.#regions[name][0];
    if (memory === undefined) throw new Error('one shard');
    return memory;
  }

  #openStage(): PersistStage {
    const { writer } = openLog({
      disk: this.#disk,
      directory: LOG_DIRECTORY,
      clock: this.clock,
      segmentBytesMax: 16 * MiB,
      segmentAgeMsMax: 3_600_000,
      makeSalt: () => Buffer.alloc(16, 5),
      nextSeqMin: 1,
    });
    return new Stage({
      log: writer,
      sequencer: new Sequencer(toSeq(writer.nextSeq)),
      rings: [new RingConsumer(this.#memory('verified'))],
      tail: new TailWriter(this.#regions.tail),
      commit: new CommitWriter(this.#regions.commit),
      words: this.words,
      metrics: this.persistMetrics,
      clock: this.clock,
      logger: silentLogger,
      retention: { ageMsMax: 1e12, bytesMax: 0 },
    });
  }

  /** Main's part: hands a frame over, with FLAG_… of its host. False when the ring is full. */
  route(frame: Buffer, hostname = HOST, hostId = HOST_ID, flags = 0): boolean {
    peek(frame, this.#peek);
    const { kind, hostSeq, didStart, didEnd } = this.#peek;
    const arrivalMs = this.clock.epochMs();
    return this.router.offer(frame, {
      kind,
      flags,
      hostId,
      hostname,
      hostSeq,
      arrivalMs,
      didStart,
      didEnd,
    });
  }

  get routedNo(): number {
    return this.router.lastNo(0);
  }

  get completedNo(): number {
    return this.words.shardReader('completed', 0).observe();
  }

  get durableSeq(): number {
    this.#commit.read(this.view);
    return this.view.lastSeq;
  }

  persist(): number {
    return this.stage.poll();
  }

  /** Main's part: takes the reports in. */
  readReports(): void {
    for (let at = this.#reports.poll(); at >= 0; at = this.#reports.poll()) {
      const report = readReport(this.#reports.bytes, at);
      if (report.kind === 'usage') {
        this.usage.push(report);
        continue;
      }
      const codes = this.rejected.get(report.hostSeq) ?? [];
      this.rejectedDids.set(REJECT_CODES[report.codeIndex] as RejectCode, report.did);
      codes.push(REJECT_CODES[report.codeIndex] as RejectCode);
      this.rejected.set(report.hostSeq, codes);
    }
    this.#reports.release();
  }

  /** The log as it is, oldest first. */
  async records(): Promise<LoggedEvent[]> {
    const found: LoggedEvent[] = [];
    const view = new EventView();
    this.#commit.read(this.view);
    await recordsOf(this.#disk).forEachRecord(0, this.view, (record: LogRecord) => {
      const { seq, hostSeq, kind, hostId, upstreamCrc } = record;
      const frame = Buffer.from(record.frame);
      const bad = decodeEvent(frame, kind as Kind, view);
      if (bad !== undefined) throw new Error(`the log has a bad frame: ${bad}`);
      const { did, active, hasStatus, status } = view;
      const shown = kind === KIND_ACCOUNT ? { shown: [active, hasStatus ? status : null] } : {};
      found.push({ seq, hostSeq, hostId, upstreamCrc, did, frame, ...shown });
      return undefined;
    });
    return found;
  }

  /** A new generation; `rebuild` and `finish` follow. */
  create(): ShardAssembly {
    this.generation += 1;
    // What the predecessor's promises wait for never comes: its thread is gone.
    this.clock = new ManualClock(this.clock.monoMs(), this.clock.epochMs());
    this.words.shardWriter('processing', 0).publish(0);
    this.shard = undefined;
    const { clock, metrics, words } = this;
    const context = { task: this.#verifyTask(), clock, logger: silentLogger, metrics, words };
    this.assembly = new ShardAssembly(context, this.#world(this.generation));
    return this.assembly;
  }

  finish(waiting: readonly Waiting[], poisonNo = 0): Shard {
    if (this.assembly === undefined) throw new Error('create comes first');
    this.shard = this.assembly.finish(waiting, poisonNo);
    return this.shard;
  }

  /** Starts a shard with the world answering at once. */
  async start(poisonNo = 0): Promise<Shard> {
    const assembly = this.create();
    const waiting = await this.during(assembly.rebuild());
    return this.finish(waiting, poisonNo);
  }

  /** Answers what is asked until the promise has settled. */
  async during<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false;
    const settled = promise.finally(() => {
      isSettled = true;
    });
    settled.catch(() => {});
    while (!isSettled) {
      this.questions.shift()?.answer();
      await this.clock.advance(0);
    }
    return settled;
  }

  /** One round of everybody's work; the world answers at once. */
  async round(): Promise<void> {
    this.shard?.poll();
    this.persist();
    for (const question of this.questions.splice(0)) question.answer();
    await this.clock.advance(10);
  }

  async rounds(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.round();
    this.readReports();
  }

  async stop(): Promise<void> {
    if (this.assembly === undefined) return;
    const closed = this.assembly.close();
    await this.during(closed);
  }

  #verifyTask(): VerifyTask {
    return {
      regions: this.#regions,
      shard: 0,
      generation: this.generation,
      logLevel: 'fatal',
      logDirectory: LOG_DIRECTORY,
      quarantineDirectory: '/nonexistent/quarantine',
      connection: {},
      connectionsMax: 1,
      databaseTimeoutMs: 1000,
      plcUrl: 'https://plc.example.com',
      userAgent: 'test',
      isInsecureAllowed: false,
      isStrict: true,
      trustedDomains: [],
      revAheadMsMax: 300_000,
      accountCountMax: 1000,
      dirtyCountMax: 1000,
      identityHoldMs: 30_000,
      identityHoldBytesMax: 32 * KiB,
      identityTtlMs: 86_400_000,
      identityRefreshMsMin: 60_000,
      identityConcurrencyMax: 10,
      identityTimeoutMs: 1000,
      plcRequestsPerSecondMax: 10,
      lookupsPerHostMax: 1000,
      statusCheckMsMin: 600_000,
      statusChecksPerHostMax: 16,
      statusCheckConcurrencyMax: 16,
      flushPeriodMs: 50,
      chaos: null,
      poisonMarker: '',
      ...this.#task,
    };
  }

  #ask<Value>(
    generation: number,
    what: Question['what'],
    dids: readonly string[],
    act: () => Value,
    onFail: (reject: (error: Error) => void, resolve: (value: Value) => void) => void,
  ): Promise<Value> {
    const { promise, resolve, reject } = Promise.withResolvers<Value>();
    this.questions.push({
      what,
      dids,
      generation,
      answer: () => {
        const value = act();
        // A write of a dead shard may still land; nobody is there to be told.
        if (generation === this.generation) resolve(value);
      },
      fail: () => {
        if (generation === this.generation) onFail(reject, resolve);
      },
    });
    return promise;
  }

  #world(generation: number): ShardWorld {
    const down = (reject: (error: Error) => void): void =>
      reject(new RelayFault('database_down', 'test', { isRetryable: true }));
    return {
      rows: {
        loadAccounts: (dids) => this.#ask(generation, 'load', dids, () => this.#load(dids), down),
        upsertAccounts: (rows) => {
          const dids = rows.map((row) => row.did);
          return this.#ask(generation, 'upsert', dids, () => this.#upsert(rows), down);
        },
        upsertIdentities: (rows) => {
          const dids = rows.map((row) => row.did);
          const write = (): void => {
            for (const row of rows) this.identities.set(row.did, row);
          };
          return this.#ask(generation, 'identities', dids, write, down);
        },
      },
      resolver: {
        resolve: (did) => {
          const failed: ResolveOutcome = {
            kind: 'failed',
            did,
            why: 'network',
            retryAfterMs: 1000,
            detail: 'test',
          };
          const look = (): ResolveOutcome => this.directory.get(did) ?? failed;
          return this.#ask(generation, 'resolve', [did], look, (_, resolve) => resolve(failed));
        },
      },
      repoStatus: {
        ask: (_host, did) => {
          const look = (): RepoStatusAnswer => this.repoStatus.get(did) ?? 'unknown';
          return this.#ask(generation, 'status', [did], look, (_, resolve) => resolve(look()));
        },
      },
      log: recordsOf(this.#disk),
      close: async () => {},
    };
  }

  #load(dids: readonly string[]): AccountRow[] {
    const found: AccountRow[] = [];
    for (const did of dids) {
      const row = this.rows.get(did);
      const identity = this.identities.get(did) ?? null;
      if (row !== undefined) found.push({ ...row, identity });
      else if (identity !== null) found.push({ ...emptyRow(did), identity });
    }
    return found;
  }

  #upsert(rows: readonly AccountState[]): void {
    for (const row of rows) {
      this.onRow(row);
      if (row.seq > (this.rows.get(row.did)?.seq ?? 0)) this.rows.set(row.did, { ...row });
    }
  }
}

export function emptyRow(did: string): AccountState {
  return {
    did,
    hostId: 0,
    isUpstreamActive: true,
    upstreamStatus: null,
    localStatus: null,
    rev: null,
    commitCid: null,
    dataCid: null,
    seq: 0,
  };
}
