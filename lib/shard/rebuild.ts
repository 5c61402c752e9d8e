/**
 * How a verify thread learns where its shard stands: at start-up, after kill -9, and as the
 * successor of a thread that died. One function for all three.
 *
 *   1. log from the checkpoint to the commit cell  → account rows in PostgreSQL (guarded by seq)
 *   2. verified ring and held arena                → inputs that are answered or held already: the
 *                                                    ingest ring is released behind the last one
 *   3. held arena                                  → frames that go on waiting
 *   4. verified ring, what is not durable yet      → live state and pending effects
 *
 * The verified ring is released last: should this thread die too, its own successor must find the
 * same answers as long as it finds the same inputs, in the ingest ring or in the arena.
 *
 * Needs PostgreSQL and waits for it; the shard's ring, and so its sockets, wait with it.
 * @thread verify
 */
import type { Clock } from '../base/clock.ts';
import { markChanged } from '../identity/cache.ts';
import type { LogRecord, RecordSource } from '../log/records.ts';
import type { Logger } from '../logging/logger.ts';
import type { RingConsumer } from '../ring/consumer.ts';
import { decodeControl, KIND_CONTROL } from '../ring/control-record.ts';
import type { HeldArena } from '../ring/held-arena.ts';
import { INGEST_NO, IngestRecord } from '../ring/ingest-record.ts';
import { type CommitReader, CommitView } from '../shared/commit-cell.ts';
import type { PositionWriter } from '../shared/position.ts';
import { shardOf } from '../wire/did-hash.ts';
import type { Kind } from '../wire/kinds.ts';
import { Account } from './account.ts';
import type { AccountSource } from './account-loader.ts';
import type { Outbox } from './outbox.ts';
import { applyDelta, type Delta, emptyDelta, isIdentityDoubtful, Replayer } from './replay.ts';
import { fillAccount, rowWithDelta } from './rows.ts';
import type { AccountSink } from './write-behind.ts';

const DIDS_PER_FLUSH = 5000;
const ROWS_PER_QUERY_MAX = 1000;

export type RebuildParts = {
  logger: Logger;
  clock: Clock;
  shard: number;
  shardCount: number;
  log: RecordSource;
  commit: CommitReader;
  checkpointSeq: number;
  rows: AccountSource & AccountSink;
  ingest: RingConsumer;
  taken: PositionWriter;
  arena: HeldArena;
  outbox: Outbox;
  addAccount: (account: Account) => void;
};

export type Waiting = { readonly did: string; readonly entry: number };

/** Entries of the held arena that wait for an answer, in order. */
export async function rebuildShard(parts: RebuildParts): Promise<readonly Waiting[]> {
  const view = new CommitView();
  parts.commit.read(view);
  await replayLog(parts, view);
  const durableHead = view.heads[parts.shard] as number;
  const { answered, dids } = findAnswered(parts, durableHead);
  const accounts = await loadPending(parts, dids);
  // From here on without a pause, and in this order; see above.
  skipAnswered(parts, answered);
  const waiting = adoptHeld(parts, answered);
  restorePending(parts, durableHead, accounts);
  return waiting;
}

async function replayLog(parts: RebuildParts, view: CommitView): Promise<void> {
  const replayer = new Replayer();
  let deltas = new Map<string, Delta>();
  const visit = (record: LogRecord): Promise<void> | undefined => {
    if (shardOf(record.didHashLo, parts.shardCount) !== parts.shard) return undefined;
    const kind = record.kind as Kind;
    const did = replayer.didOf(record.frame, kind);
    const delta = deltas.get(did) ?? emptyDelta();
    deltas.set(did, delta);
    replayer.add(record.frame, record, delta);
    delta.seq = record.seq;
    if (deltas.size < DIDS_PER_FLUSH) return undefined;
    const full = deltas;
    deltas = new Map();
    return writeDeltas(parts, full);
  };
  const damages = await parts.log.forEachRecord(parts.checkpointSeq, view, visit);
  for (const { segmentFirstSeq, damage } of damages) {
    parts.logger.error({ segmentFirstSeq, ...damage }, 'account state behind damage is not known');
  }
  await writeDeltas(parts, deltas);
}

/**
 * Brings the rows up to the log. A row that is newer already keeps its seq and stays as it is.
 * Identities are not in the log: those that may be behind it are asked for again.
 */
async function writeDeltas(parts: RebuildParts, deltas: Map<string, Delta>): Promise<void> {
  const dids = [...deltas.keys()];
  for (let i = 0; i < dids.length; i += ROWS_PER_QUERY_MAX) {
    const chunk = dids.slice(i, i + ROWS_PER_QUERY_MAX);
    const known = new Map((await parts.rows.loadAccounts(chunk)).map((row) => [row.did, row]));
    // First: a row that knows the host already says nothing of the identity any more.
    const doubtful = [...known.values()].flatMap(({ did, hostId, identity }) => {
      const isDoubtful = isIdentityDoubtful(deltas.get(did) as Delta, hostId);
      return identity !== null && isDoubtful ? [{ ...identity, is_stale: true }] : [];
    });
    if (doubtful.length > 0) await parts.rows.upsertIdentities(doubtful);
    const rows = chunk.map((did) => rowWithDelta(did, known.get(did), deltas.get(did) as Delta));
    await parts.rows.upsertAccounts(rows);
  }
}

/** Inputs with an event in the verified ring, and the accounts of events not durable yet. */
function findAnswered(parts: RebuildParts, durableHead: number) {
  const replayer = new Replayer();
  const answered = new Set<number>();
  const dids = new Set<string>();
  parts.outbox.forEachUnread(durableHead, (record, bytes, isDurable) => {
    answered.add(record.ingestNo);
    const frame = bytes.subarray(record.frameStart, record.frameEnd);
    if (!isDurable) dids.add(replayer.didOf(frame, record.kind as Kind));
  });
  return { answered, dids: [...dids] };
}

async function loadPending(
  parts: RebuildParts,
  dids: readonly string[],
): Promise<Map<string, Account>> {
  const accounts = new Map<string, Account>();
  for (let i = 0; i < dids.length; i += ROWS_PER_QUERY_MAX) {
    const chunk = dids.slice(i, i + ROWS_PER_QUERY_MAX);
    const known = new Map((await parts.rows.loadAccounts(chunk)).map((row) => [row.did, row]));
    for (const did of chunk) {
      const account = new Account(did);
      fillAccount(account, known.get(did), parts.clock.monoMs());
      accounts.set(did, account);
    }
  }
  return accounts;
}

/**
 * Inputs are taken in order, so everything up to the last one that left an event or waits in the
 * arena was taken: what lies between and left nothing was rejected. What comes after is judged
 * again, also what a pass that did not end had rejected: until then it is not taken.
 */
function skipAnswered({ ingest, arena, taken }: RebuildParts, answered: ReadonlySet<number>): void {
  const left = new Set(answered);
  arena.forEachEntry((entry) => left.add(arena.readIngestNo(entry)));
  const start = ingest.position;
  let end = start;
  let takenNo: number | undefined;
  for (let at = ingest.poll(); at >= 0; at = ingest.poll()) {
    const no = ingest.bytes.readInt32LE(at + INGEST_NO);
    if (left.has(no)) {
      takenNo = no;
      end = ingest.position;
    } else takenNo ??= (no - 1) | 0;
  }
  ingest.seek(end);
  if (takenNo !== undefined) taken.publish(takenNo);
  if (end !== start) ingest.release();
}

function restorePending(
  parts: RebuildParts,
  durableHead: number,
  accounts: ReadonlyMap<string, Account>,
): void {
  const replayer = new Replayer();
  parts.outbox.restore(durableHead, (record, bytes) => {
    const frame = bytes.subarray(record.frameStart, record.frameEnd);
    const kind = record.kind as Kind;
    const account = accounts.get(replayer.didOf(frame, kind)) as Account;
    const delta = emptyDelta();
    replayer.add(frame, record, delta);
    if (isIdentityDoubtful(delta, account.live.hostId)) {
      account.identity = markChanged(account.identity, parts.clock.monoMs());
    }
    applyDelta(delta, account.live);
    return account;
  });
  for (const account of accounts.values()) parts.addAccount(account);
}

/** Held frames that were answered just before the end are finished now; the others wait on. */
function adoptHeld(parts: RebuildParts, answered: ReadonlySet<number>): readonly Waiting[] {
  const { arena } = parts;
  const replayer = new Replayer();
  const record = new IngestRecord();
  const finished: number[] = [];
  const waiting: Waiting[] = [];
  arena.forEachHeld((entry) => {
    const start = arena.recordStart(entry);
    record.read(arena.bytes, start, arena.recordBytes(entry));
    const frame = arena.bytes.subarray(record.frameStart, record.frameEnd);
    if (answered.has(record.ingestNo)) finished.push(entry);
    else {
      const isControl = record.kind === KIND_CONTROL;
      const did = isControl ? decodeControl(frame).did : replayer.didOf(frame, record.kind as Kind);
      waiting.push({ did, entry });
    }
  });
  for (const entry of finished) arena.finish(entry);
  arena.trim();
  return waiting;
}
