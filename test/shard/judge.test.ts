/** The verdicts: who may speak for an account, what waits for what, and what is asked of whom. */
import t from 'tap';
import { toEpochMs } from '../../lib/base/units.ts';
import { applyOutcome, CACHE_POLICY, entryOfRecord, noteForced } from '../../lib/identity/cache.ts';
import type { ResolveOutcome } from '../../lib/identity/outcome.ts';
import { MetricWriter } from '../../lib/metrics/slots.ts';
import { IngestRecord } from '../../lib/ring/ingest-record.ts';
import { Account } from '../../lib/shard/account.ts';
import { Judge } from '../../lib/shard/judge.ts';
import type { StatusVerdict } from '../../lib/shard/status-checks.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_ACCOUNT, type Kind } from '../../lib/wire/kinds.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import { accountFrame, commitFrame, identityFrame } from '../../scripts/fleet/event-frames.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import { encodeCar, encodePost } from '../../scripts/fleet/signed-repo.ts';
import { ManualClock } from '../helpers/manual-clock.ts';
import { Actor } from './actors.ts';
import { HOST, START_MS } from './shard-world.ts';

const NEW_HOST = 'new.example.org';
const STAMP = { seq: 3, time: '2026-01-01T00:00:00.000Z' };

class Court {
  readonly clock = new ManualClock(100_000, START_MS);
  readonly metrics = new MetricWriter();
  readonly actor = new Actor('alice');
  account: Account | undefined = new Account(this.actor.did);
  readonly asked: string[] = [];
  /** The account's host, when asked whether it is active. */
  hostSays: StatusVerdict = 'no';
  /** What frames of a host may still cause. */
  lookupsLeft = Number.POSITIVE_INFINITY;
  readonly judge: Judge;
  readonly #peek = new Peek();

  constructor() {
    this.judge = new Judge({
      clock: this.clock,
      metrics: this.metrics,
      identityPolicy: CACHE_POLICY,
      isInsecureAllowed: false,
      isStrict: true,
      revAheadMsMax: 300_000,
      findAccount: () => this.account,
      refresh: (account, isForced) => {
        this.asked.push(isForced ? 'forced' : 'normal');
        if (isForced) account.identity = noteForced(account.identity, this.clock.monoMs());
      },
      refreshLater: () => this.asked.push('later'),
      mayLookUp: () => this.lookupsLeft-- > 0,
      checkStatus: (_account, _record, mayWait) => {
        this.asked.push(mayWait ? 'status' : 'status now');
        return this.hostSays;
      },
    });
  }

  /** The directory answered at this moment, so late that the next frame is newer. */
  async know(outcome: ResolveOutcome, laterMs = 1000): Promise<this> {
    const now = { epochMs: this.clock.epochMs(), monoMs: this.clock.monoMs() };
    if (this.account !== undefined) {
      const { identity } = this.account;
      this.account.identity = applyOutcome(identity, outcome, now.monoMs, now, CACHE_POLICY);
    }
    await this.clock.advance(laterMs);
    return this;
  }

  /** The outcome, with the reason of a reject, and what was asked of the directory. */
  rule(frame: Buffer, options: { host?: string; isLast?: boolean; arrivedMs?: number } = {}) {
    peek(frame, this.#peek);
    const record = new IngestRecord();
    record.kind = this.#peek.kind;
    record.hostId = options.host === NEW_HOST ? 8 : 7;
    record.hostname = options.host ?? HOST;
    record.arrivalMs = options.arrivedMs ?? this.clock.epochMs();
    this.asked.length = 0;
    const bad = this.judge.decode(frame, record.kind as Kind);
    if (bad !== undefined) return [bad];
    const outcome = this.judge.judge(frame, record, options.isLast ?? false);
    return [outcome === 'rejected' ? this.judge.code : outcome, ...this.asked];
  }

  /** What consumers would get of the accepted frame. */
  shown(kind: Kind): EventView {
    const view = new EventView();
    const bad = decodeEvent(Buffer.from(this.judge.normal.bytes), kind, view);
    if (bad !== undefined) throw new Error(bad);
    return view;
  }

  /** What consumers would be told before it. */
  told(): EventView {
    const view = new EventView();
    const bad = decodeEvent(Buffer.from(this.judge.own.frame.bytes), KIND_ACCOUNT, view);
    if (bad !== undefined) throw new Error(bad);
    return view;
  }

  failed(): ResolveOutcome {
    const { did } = this.actor;
    return { kind: 'failed', did, why: 'network', retryAfterMs: 1000, detail: '' };
  }
}

t.test('what is not known is waited for: row, then identity', async (t) => {
  const court = new Court();
  const { account } = court;
  court.account = undefined;
  const { frame } = court.actor.make('commit');
  t.same(court.rule(frame), ['hold_state']);
  court.account = account;
  t.same(court.rule(frame), ['hold_identity', 'normal']);
  t.same(court.rule(frame, { isLast: true }), ['identity_unresolved']);
  await court.know(court.failed());
  t.same(court.rule(frame), ['hold_identity', 'later'], 'too early to ask again');
  t.same(court.rule(frame, { isLast: true }), ['identity_unresolved']);
  await court.know(court.actor.found());
  t.same(court.rule(frame), ['accepted']);
  t.equal(account?.live.rev, court.actor.repo.rev);
});

const NEGATIVE: readonly (readonly [ResolveOutcome['kind'], string, string])[] = [
  ['not_found', 'identity_not_found', 'identity_not_found'],
  ['tombstoned', 'identity_tombstoned', 'accepted'],
  ['document_bad', 'identity_document_bad', 'identity_document_bad'],
];
for (const [kind, code, ofIdentity] of NEGATIVE) {
  t.test(
    `HO-3: ${kind}: rejected with its own reason, after it was asked about once more`,
    async (t) => {
      const court = await new Court().know({
        kind,
        did: new Actor('alice').did,
        why: 'not_object',
      } as ResolveOutcome);
      const { frame } = court.actor.make('commit');
      t.same(court.rule(frame), ['hold_identity', 'forced']);
      t.same(court.rule(frame, { isLast: true }), [code]);
      const told = identityFrame({ did: court.actor.did }, STAMP);
      t.same(court.rule(told, { arrivedMs: 0 }), [ofIdentity]);
    },
  );
}

t.test('HO-1, HO-4: another host is asked about once, then refused', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  const { frame } = court.actor.make('commit');
  t.same(court.rule(frame, { host: NEW_HOST }), ['hold_identity', 'forced']);
  await court.know(court.actor.found());
  // The frame is older than the answer now.
  t.same(court.rule(frame, { host: NEW_HOST, arrivedMs: START_MS }), ['host_not_authority']);
  t.equal(court.account?.live.rev, '', 'nothing of it is kept');
  t.same(court.rule(frame), ['accepted']);
});

t.test(
  'HO-5, AC-9, H138: an account that moved is the new host’s, and the old one is refused',
  async (t) => {
    const court = await new Court().know(new Actor('alice').found());
    t.same(court.rule(court.actor.make('commit').frame), ['accepted']);
    t.equal(court.account?.live.hostId, 7);
    const moved = court.actor.make('commit');
    t.same(court.rule(moved.frame, { host: NEW_HOST }), ['hold_identity', 'forced']);
    await court.know(court.actor.found(NEW_HOST), 0);
    t.same(court.rule(moved.frame, { host: NEW_HOST, arrivedMs: START_MS }), ['accepted']);
    t.equal(court.account?.live.hostId, 8);
    const off = accountFrame({ did: court.actor.did, active: false }, STAMP);
    t.same(court.rule(off, { arrivedMs: START_MS }), ['host_not_authority']);
    t.equal(court.account?.live.isUpstreamActive, true, 'H140: the old host switches nothing off');
  },
);

t.test(
  'H140: a move within a minute of a look-up is asked about, three times, then no more',
  async (t) => {
    const court = await new Court().know(new Actor('alice').found());
    const { frame } = court.actor.make('commit');
    // The minute's own look-up, then the three for moves; each answer still names the old host.
    for (let i = 0; i < 4; i++) {
      t.same(
        court.rule(frame, { host: NEW_HOST }),
        ['hold_identity', 'forced'],
        `look-up ${i + 1}`,
      );
      await court.know(court.actor.found());
    }
    t.same(court.rule(frame, { host: NEW_HOST }), ['host_not_authority'], 'the budget is spent');
    await court.clock.advance(60_000);
    t.same(court.rule(frame, { host: NEW_HOST }), ['hold_identity', 'forced'], 'a minute later');
  },
);

t.test('LM-11, SG-7: a bad signature costs one forced look-up a minute', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  const { frame } = court.actor.make('forged');
  t.same(court.rule(frame), ['hold_identity', 'forced']);
  await court.know(court.actor.found());
  t.same(court.rule(frame), ['commit_signature_bad'], 'not again within the minute');
  await court.clock.advance(61_000);
  t.same(court.rule(frame, { isLast: true }), ['commit_signature_bad']);
  t.same(court.rule(frame), ['hold_identity', 'forced']);
  t.equal(court.account?.live.rev, '');
});

t.test('SG-7: a new key is found by the look-up', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  court.actor.repo.rotateKey('another');
  const { frame } = court.actor.make('commit');
  t.same(court.rule(frame), ['hold_identity', 'forced']);
  await court.know(court.actor.found());
  t.same(court.rule(frame), ['accepted']);
});

t.test(
  'AC-5, AC-10, AC-2: an inactive account may be switched on, and write nothing before that',
  async (t) => {
    const court = await new Court().know(new Actor('alice').found());
    t.same(court.rule(court.actor.make('off').frame), ['accepted']);
    t.same(court.rule(court.actor.make('commit').frame), ['account_inactive', 'status']);
    t.same(court.rule(court.actor.make('sync').frame), ['account_inactive', 'status']);
    t.same(court.rule(court.actor.make('on').frame), ['accepted']);
    t.same(court.rule(court.actor.make('commit').frame), ['accepted']);
  },
);

t.test('AC-3: what was taken down here is shown so, whatever the host says', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  const { account, actor } = court;
  if (account === undefined) throw new Error('no account');
  account.live.localStatus = 'takendown';
  t.same(court.rule(actor.make('commit').frame), ['account_takendown']);
  t.same(court.rule(actor.make('on').frame), ['accepted']);
  t.match(court.shown(4), { active: false, hasStatus: true, status: 'takendown' });
  t.match(account.live, { isUpstreamActive: true, upstreamStatus: null }, 'the host’s own word');
  account.live.localStatus = 'throttled';
  t.same(court.rule(actor.make('commit').frame), ['accepted']);
});

t.test(
  'ID-2, ID-3, ID-4, H151: a handle is passed on only from the account’s own host',
  async (t) => {
    const court = await new Court().know(new Actor('alice').found());
    const { did } = court.actor;
    const frame = identityFrame({ did, handle: 'evil.example.com' }, STAMP);
    const old = { arrivedMs: 0 };
    t.same(court.rule(frame, old), ['accepted']);
    t.equal(court.shown(3).handle, 'evil.example.com');
    t.same(court.rule(frame, { host: NEW_HOST, ...old }), ['accepted']);
    t.equal(court.shown(3).handle, '');
  },
);

t.test(
  'ID-1: #identity waits for a newer document; if there is none the old one stands',
  async (t) => {
    const court = await new Court().know(new Actor('alice').found());
    const { frame } = court.actor.make('identity');
    const { frame: commit } = court.actor.make('commit');
    t.same(court.rule(frame), ['hold_identity', 'forced']);
    t.same(court.rule(frame, { isLast: true }), ['accepted']);
    await court.clock.advance(61_000);
    t.same(court.rule(frame), ['hold_identity', 'forced']);
    await court.know(court.failed());
    t.same(court.rule(frame), ['accepted'], 'the directory is down');
    t.same(court.rule(commit), ['accepted'], 'nobody is silenced by it');
  },
);

t.test('H152: twenty #identity, then one in ten seconds', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  const { frame } = court.actor.make('identity');
  const rule = () => court.rule(frame, { arrivedMs: 0 })[0];
  for (let i = 0; i < 20; i++) t.equal(rule(), 'accepted');
  t.equal(rule(), 'identity_rate_limited');
  await court.clock.advance(10_000);
  t.equal(rule(), 'accepted');
  t.equal(rule(), 'identity_rate_limited');
});

t.test('a document that is a day old is used, and looked up behind the event', async (t) => {
  const court = new Court();
  const known = court.actor.found();
  if (known.kind !== 'found' || court.account === undefined) throw new Error('not found');
  const { did, identity } = known;
  const resolvedMs = court.clock.epochMs();
  court.account.identity = entryOfRecord({ did, state: 'found', identity, resolvedMs });
  await court.clock.advance(25 * 3_600_000);
  t.same(court.rule(court.actor.make('on').frame), ['accepted', 'normal']);
  await court.clock.advance(7 * 24 * 3_600_000);
  t.same(court.rule(court.actor.make('on').frame), ['hold_identity', 'normal']);
  t.same(court.rule(court.actor.make('on').frame, { isLast: true }), ['accepted']);
  t.equal(court.metrics.read('relay_identity_stale_uses_total'), 1);
});

t.test('ID-5: the #identity of an account that is inactive is passed on', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  t.same(court.rule(court.actor.make('off').frame), ['accepted']);
  const { frame } = court.actor.make('identity');
  t.same(court.rule(frame, { arrivedMs: 0 }), ['accepted']);
  t.equal(court.account?.live.isUpstreamActive, false, 'and switches nothing on');
});

t.test('A25, H20: what came out of order goes out in order, and is counted', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  const { did } = court.actor;
  const header = Buffer.from('a2626f7001617468', 'hex');
  const name = Buffer.from('#account');
  const right = accountFrame({ did, active: true }, STAMP);
  // `op` before `t`: the same header, the longer key first.
  const wrong = Buffer.concat([header, name, right.subarray(header.length + name.length)]);
  t.equal(wrong.length, right.length);
  t.same(court.rule(right), ['accepted']);
  t.equal(court.metrics.read('relay_verify_unsorted_events_total'), 0);
  t.same(court.rule(wrong), ['accepted']);
  t.equal(court.metrics.read('relay_verify_unsorted_events_total'), 1);
  t.same(court.judge.normal.bytes, right);
});

t.test('CA-3, H72: blocks that nothing leads to are counted', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  const parts = court.actor.repo.commit([], { epochMs: START_MS - 1000 });
  const bytes = encodePost('nobody asked for it', STAMP.time);
  const spare = encodeCar([], [{ cid: cidOf(bytes), bytes }]).subarray(encodeCar([], []).length);
  const blocks = Buffer.concat([parts.blocks, spare]);
  t.same(court.rule(commitFrame({ ...parts, blocks }, STAMP)), ['accepted']);
  t.equal(court.metrics.read('relay_verify_unlinked_blocks_total'), 1);
});

t.test('a reject changes nothing', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  const { actor, account } = court;
  t.same(court.rule(actor.make('commit').frame), ['accepted']);
  const before = { ...account?.live };
  t.same(court.rule(actor.make('garbage').frame).length, 1);
  t.same(court.rule(actor.make('forged').frame, { isLast: true }), ['commit_signature_bad']);
  const stale = new Actor('alice').make('commit').frame;
  t.same(court.rule(stale), ['commit_rev_stale']);
  t.same({ ...account?.live }, before);
});

t.test(
  'AC-8, H147: a tombstoned DID is deleted, said once, of an account that was shown',
  async (t) => {
    const gone: ResolveOutcome = { kind: 'tombstoned', did: new Actor('alice').did };
    const court = await new Court().know(new Actor('alice').found());
    const { actor, account, judge } = court;
    if (account === undefined) throw new Error('no account');
    t.same(court.rule(actor.make('commit').frame), ['accepted']);
    t.equal(judge.own.isSet, false);
    await court.know(gone);
    t.same(court.rule(actor.make('commit').frame), ['hold_identity', 'forced']);
    t.equal(judge.own.isSet, false, 'not before the verdict is final');
    t.same(court.rule(actor.make('commit').frame, { isLast: true }), ['identity_tombstoned']);
    t.match(judge.own, { isSet: true, cause: 'tombstoned', statusCode: 0x10 });
    t.match(court.told(), { did: actor.did, active: false, status: 'deleted' });
    t.match(judge.own.state, { isUpstreamActive: false, upstreamStatus: 'deleted', hostId: 7 });
    t.match(account.live, { isUpstreamActive: false, upstreamStatus: 'deleted' });
    t.same(court.rule(actor.make('on').frame, { isLast: true }), ['identity_tombstoned']);
    t.equal(judge.own.isSet, false, 'once');
    await court.know(actor.found());
    t.same(
      court.rule(actor.make('on').frame),
      ['accepted'],
      'a document that came back, and #account',
    );
    t.match(account.live, { isUpstreamActive: true, upstreamStatus: null });
    t.equal(judge.own.isSet, false);
    t.same(court.rule(actor.make('commit').frame), ['accepted']);
  },
);

t.test('AC-8: #identity of a tombstoned DID goes out behind it', async (t) => {
  const court = await new Court().know({ kind: 'tombstoned', did: new Actor('alice').did });
  const told = identityFrame({ did: court.actor.did }, STAMP);
  t.same(court.rule(told, { arrivedMs: 0 }), ['accepted']);
  t.equal(court.judge.own.isSet, false, 'an account that was never shown is not taken away');
  if (court.account !== undefined) court.account.live.hostId = 7;
  t.same(court.rule(told, { arrivedMs: 0 }), ['accepted']);
  t.match(court.judge.own, { isSet: true, cause: 'tombstoned' });
});

t.test('AC-8, AC-4: a takedown of ours is shown for a tombstoned DID, too', async (t) => {
  const court = await new Court().know({ kind: 'tombstoned', did: new Actor('alice').did });
  if (court.account === undefined) throw new Error('no account');
  Object.assign(court.account.live, { hostId: 7, localStatus: 'takendown' });
  t.same(court.rule(court.actor.make('commit').frame, { isLast: true }), ['identity_tombstoned']);
  t.match(court.told(), { active: false, status: 'takendown' });
  t.equal(court.judge.own.statusCode, 0x25, 'and the log knows both');
});

t.test('AC-12, H155: the host is asked when an inactive account writes', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  const { actor, account, judge } = court;
  t.same(court.rule(actor.make('off').frame), ['accepted']);
  court.hostSays = 'wait';
  const { frame } = actor.make('commit');
  t.same(court.rule(frame), ['hold_identity', 'status']);
  t.equal(judge.own.isSet, false);
  court.hostSays = 'no';
  t.same(court.rule(frame), ['account_inactive', 'status']);
  t.same(court.rule(frame, { isLast: true }), ['account_inactive', 'status now']);
  t.equal(account?.live.isUpstreamActive, false);
  court.hostSays = 'active';
  t.same(
    court.rule(frame, { isLast: true }),
    ['accepted', 'status now'],
    'also at the last moment',
  );
  t.match(judge.own, { isSet: true, cause: 'reactivated' });
  t.match(court.told(), { did: actor.did, active: true, hasStatus: false });
  t.match(judge.own.state, { hostId: 7, isUpstreamActive: true, upstreamStatus: null, rev: '' });
  t.match(account?.live, { isUpstreamActive: true, rev: actor.repo.rev });
  t.same(court.rule(actor.make('commit').frame), ['accepted'], 'and is active from now on');
  t.equal(judge.own.isSet, false);
});

t.test('AC-12: nothing that is not verified brings an account back', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  const { actor, account, judge } = court;
  t.same(court.rule(actor.make('off').frame), ['accepted']);
  court.hostSays = 'active';
  const forged = actor.make('forged').frame;
  t.same(court.rule(forged, { isLast: true }), ['commit_signature_bad', 'status now']);
  t.equal(judge.own.isSet, false);
  t.equal(account?.live.isUpstreamActive, false);
  const { frame } = actor.make('commit');
  t.same(court.rule(frame, { host: NEW_HOST, isLast: true }), ['host_not_authority'], 'HO-1');
  if (account !== undefined) account.live.localStatus = 'takendown';
  t.same(court.rule(frame), ['account_takendown'], 'AC-4: our own word stands, nobody is asked');
});

t.test('AC-12: an answer that is older than the host’s own word is of no use', async (t) => {
  const court = await new Court().know(new Actor('alice').found());
  const { account, clock } = court;
  if (account === undefined) throw new Error('no account');
  const answered = (askedEpochMs: number) => {
    const askedMs = clock.monoMs();
    return { askedMs, askedEpochMs: toEpochMs(askedEpochMs), isActive: true };
  };
  account.statusCheck = answered(clock.epochMs() + 1);
  court.rule(court.actor.make('off').frame);
  t.equal(account.statusCheck.isActive, true, 'asked after it had come');
  account.statusCheck = answered(clock.epochMs() - 1);
  court.rule(court.actor.make('off').frame);
  t.match(account.statusCheck, { isActive: false, askedMs: clock.monoMs() });
});

t.test(
  'LM-11, H150: a host out of look-ups gets no more; what is known stays in force',
  async (t) => {
    const court = new Court();
    court.lookupsLeft = 0;
    const { frame } = court.actor.make('commit');
    t.same(court.rule(frame), ['identity_host_limited'], 'an unknown DID');
    t.equal(court.metrics.read('relay_identity_host_limited_total'), 1);
    court.lookupsLeft = 1;
    t.same(court.rule(frame), ['hold_identity', 'normal']);
    if (court.account !== undefined) court.account.isResolving = true;
    t.same(
      court.rule(frame),
      ['hold_identity', 'normal'],
      'one look-up, however often it is judged',
    );
    if (court.account !== undefined) court.account.isResolving = false;
    await court.know(court.actor.found());
    t.same(
      court.rule(court.actor.make('identity').frame),
      ['accepted'],
      'without a newer document',
    );
    t.same(court.rule(court.actor.make('forged').frame), ['commit_signature_bad']);
    t.same(court.rule(frame, { host: NEW_HOST }), ['host_not_authority']);
    t.same(court.rule(frame), ['accepted']);
    await court.clock.advance(25 * 3_600_000);
    t.same(court.rule(court.actor.make('on').frame), ['accepted'], 'a day old');
    court.lookupsLeft = 1;
    const { frame: on } = court.actor.make('on');
    t.same(court.rule(on), ['hold_identity', 'forced'], 'the #identity is not forgotten');
  },
);
