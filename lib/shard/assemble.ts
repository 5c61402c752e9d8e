/**
 * Builds the parts of one shard and connects them. No logic of its own.
 * @thread verify
 */
import type { Clock } from '../base/clock.ts';
import { SECOND_MS } from '../base/units.ts';
import { isTrustedHost } from '../hosts/quota.ts';
import { CACHE_POLICY, type CachePolicy } from '../identity/cache.ts';
import { HostBudget } from '../identity/host-budget.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import { RingConsumer } from '../ring/consumer.ts';
import { HeldArena } from '../ring/held-arena.ts';
import type { Regions } from '../ring/regions.ts';
import type { Bell } from '../shared/bell.ts';
import { Chaos } from '../shared/chaos.ts';
import { CommitReader } from '../shared/commit-cell.ts';
import type { SharedMemory } from '../shared/memory.ts';
import type { Words } from '../shared/regions.ts';
import type { AccountRow } from '../store/account-rows.ts';
import { Account } from './account.ts';
import { AccountCache } from './account-cache.ts';
import { AccountLoader } from './account-loader.ts';
import { Holds } from './holds.ts';
import { HostCosts } from './host-costs.ts';
import { IdentityRefresher } from './identity-refresher.ts';
import { Judge } from './judge.ts';
import { Outbox } from './outbox.ts';
import { Quarantine } from './quarantine.ts';
import { type RebuildParts, rebuildShard, type Waiting } from './rebuild.ts';
import { Reports } from './reports.ts';
import { fillAccount } from './rows.ts';
import { Shard } from './shard.ts';
import { StatusChecks } from './status-checks.ts';
import type { VerifyTask } from './task.ts';
import { openWorld, type ShardWorld } from './world.ts';
import { WriteBehind } from './write-behind.ts';

export type ShardContext = {
  task: VerifyTask;
  clock: Clock;
  logger: Logger;
  metrics: MetricWriter;
  words: Words;
};

const RETRY_MS = 2000;
const LOOKUP_BURST_SECONDS = 10;
const LOOKUP_HOSTS_MAX = 10_000;

export class ShardAssembly {
  readonly holds: Holds;
  readonly #context: ShardContext;
  readonly #regions: Regions;
  readonly #world: ShardWorld;
  readonly #cache: AccountCache;
  readonly #ingest: RingConsumer;
  readonly #arena: HeldArena;
  readonly #outbox: Outbox;
  #loader: AccountLoader | undefined;
  #writes: WriteBehind | undefined;

  constructor(context: ShardContext, world: ShardWorld = openWorld(context)) {
    const { task, words } = context;
    this.#context = context;
    this.#regions = task.regions;
    this.#world = world;
    this.#cache = new AccountCache(task.accountCountMax);
    this.#ingest = new RingConsumer(this.#memory('ingest'));
    this.#arena = new HeldArena(this.#memory('held'));
    this.holds = new Holds(this.#arena);
    this.#outbox = new Outbox(this.#memory('verified'), words.bell('bellPersist'));
  }

  #memory(name: 'ingest' | 'verified' | 'held' | 'reports'): SharedMemory {
    return this.#regions[name][this.#context.task.shard] as SharedMemory;
  }

  /** Learns where the shard stands. May be called again after it threw (database down). */
  rebuild(): Promise<readonly Waiting[]> {
    const { task, clock, words } = this.#context;
    const parts: RebuildParts = {
      logger: this.#context.logger,
      clock,
      shard: task.shard,
      shardCount: this.#regions.shardCount,
      log: this.#world.log,
      commit: new CommitReader(this.#regions.commit),
      checkpointSeq: words.wideReader('checkpointSeq').observe(),
      rows: this.#world.rows,
      ingest: this.#ingest,
      taken: words.shardWriter('taken', task.shard),
      arena: this.#arena,
      outbox: this.#outbox,
      addAccount: (account) => this.#cache.add(account),
    };
    return rebuildShard(parts);
  }

  /** The running shard; `poisonNo` is the input that ended predecessors twice, or 0. */
  finish(waiting: readonly Waiting[], poisonNo: number): Shard {
    const { task, clock, logger, metrics, words } = this.#context;
    const bell = words.shardBell(task.shard);
    const refresher = this.#createRefresher(bell);
    const taken = words.shardWriter('taken', task.shard);
    const loader = this.#createLoader(bell);
    this.#loader = loader;
    const judge = this.#createJudge(refresher, this.#createStatusChecks(bell));
    const onDropped = (): void => metrics.add('relay_verify_reports_dropped_total');
    const reports = new Reports(this.#memory('reports'), words.bell('bellMain'), onDropped);
    const shard = new Shard({
      shard: task.shard,
      clock,
      logger,
      metrics,
      ingest: this.#ingest,
      arena: this.#arena,
      holds: this.holds,
      outbox: this.#outbox,
      judge,
      reports,
      costs: new HostCosts((report) => reports.offerUsage(report), onDropped),
      quarantine: new Quarantine(task.quarantineDirectory),
      commit: new CommitReader(this.#regions.commit),
      processing: words.shardWriter('processing', task.shard),
      taken,
      identityHoldMs: task.identityHoldMs,
      identityHoldBytesMax: task.identityHoldBytesMax,
      dirtyCountMax: task.dirtyCountMax,
      cachedCount: () => this.#cache.count,
      dirtyCount: () => this.#writes?.dirtyCount ?? 0,
      isTrusted: (hostname) => isTrustedHost(hostname, task.trustedDomains),
      wantAccount: (did) => loader.want(did),
      onDirty: (account) => this.#writes?.add(account),
      poisonNo,
      onFrame: chaosHook(task),
    });
    this.#writes = new WriteBehind({
      sink: this.#world.rows,
      progress: {
        takenNo: () => taken.last(),
        oldestHeldNo: () => shard.oldestHeldNo(),
        publishedPosition: () => this.#outbox.position,
        readBackPosition: () => this.#outbox.readBackPosition,
      },
      completed: words.shardWriter('completed', task.shard),
      clock,
      logger,
      metrics,
      periodMs: task.flushPeriodMs,
    });
    for (const { did, entry } of waiting) {
      const queue = this.holds.adopt(did, 'state', entry);
      this.holds.markReady(queue);
    }
    return shard;
  }

  async close(): Promise<void> {
    await this.#loader?.stop();
    await this.#writes?.stop();
    await this.#world.close();
  }

  #createRefresher(bell: Bell): IdentityRefresher {
    const { task, clock, logger } = this.#context;
    return new IdentityRefresher({
      resolver: this.#world.resolver,
      clock,
      logger,
      policy: identityPolicy(task),
      onDone: (account) => {
        if (account.isIdentityDirty) this.#writes?.add(account);
        this.#judgeAgain(account.did, bell);
      },
    });
  }

  #createLoader(bell: Bell): AccountLoader {
    const { clock, logger, metrics } = this.#context;
    return new AccountLoader({
      source: this.#world.rows,
      clock,
      logger,
      metrics,
      onLoaded: (did, row) => {
        this.#rowArrived(did, row);
        bell.ring();
      },
    });
  }

  #createStatusChecks(bell: Bell): StatusChecks {
    const { task, clock, metrics } = this.#context;
    return new StatusChecks({
      source: this.#world.repoStatus,
      clock,
      metrics,
      intervalMs: task.statusCheckMsMin,
      perHostMinuteMax: task.statusChecksPerHostMax,
      concurrencyMax: task.statusCheckConcurrencyMax,
      onDone: (account) => this.#judgeAgain(account.did, bell),
    });
  }

  /** What frames of the account waited for is there. */
  #judgeAgain(did: string, bell: Bell): void {
    const queue = this.holds.find(did);
    if (queue === undefined) return;
    this.holds.markReady(queue);
    bell.ring();
  }

  #createJudge(refresher: IdentityRefresher, statusChecks: StatusChecks): Judge {
    const { task, clock, metrics } = this.#context;
    const perSecond = task.lookupsPerHostMax;
    const lookups = new HostBudget({
      burst: LOOKUP_BURST_SECONDS * perSecond,
      tokenMs: SECOND_MS / perSecond,
      hostsMax: LOOKUP_HOSTS_MAX,
    });
    return new Judge({
      clock,
      metrics,
      identityPolicy: identityPolicy(task),
      isInsecureAllowed: task.isInsecureAllowed,
      isStrict: task.isStrict,
      revAheadMsMax: task.revAheadMsMax,
      findAccount: (did) => this.#cache.get(did),
      mayLookUp: (hostname) =>
        isTrustedHost(hostname, task.trustedDomains) || lookups.take(hostname, clock.monoMs()),
      refresh: (account, isForced) => refresher.start(account, isForced),
      refreshLater: (account) => refresher.startLater(account),
      checkStatus: (account, record, mayWait) => statusChecks.verdict(account, record, mayWait),
    });
  }

  #rowArrived(did: string, row: AccountRow | undefined): void {
    if (this.#cache.get(did) === undefined) {
      const account = new Account(did);
      fillAccount(account, row, this.#context.clock.monoMs());
      account.isHeld = this.holds.find(did) !== undefined;
      this.#cache.add(account);
    }
    const queue = this.holds.find(did);
    if (queue === undefined) return;
    queue.account = this.#cache.get(did) ?? null;
    this.holds.markReady(queue);
  }
}

function identityPolicy(task: VerifyTask): CachePolicy {
  return {
    ...CACHE_POLICY,
    staleMs: task.identityTtlMs,
    expiryMs: Math.max(CACHE_POLICY.expiryMs, 2 * task.identityTtlMs),
    forcedMsMin: task.identityRefreshMsMin,
    // Frames wait for the answer: ask again soon. The resolver spares a directory that is down.
    failedMs: RETRY_MS,
  };
}

/** The test seam of this thread: undefined in production. */
function chaosHook(task: VerifyTask): ((frame: Buffer) => void) | undefined {
  if (task.chaos === null && task.poisonMarker === '') return undefined;
  const chaos = new Chaos(task.chaos);
  return (frame) => {
    if (chaos.take('verifyExit', task.shard + 1)) process.exit(1);
    if (chaos.take('verifyHang', task.shard + 1)) Chaos.hang();
    if (task.poisonMarker !== '' && frame.includes(task.poisonMarker)) Chaos.hang();
  };
}
