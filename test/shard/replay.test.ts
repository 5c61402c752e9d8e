/** What events did to an account, read back from ring or log. */
import t from 'tap';
import { statusCodeOf } from '../../lib/accounts/status-code.ts';
import { emptyState, type RepoState } from '../../lib/shard/account.ts';
import { applyDelta, type EventRecord, emptyDelta, Replayer } from '../../lib/shard/replay.ts';
import { KIND_ACCOUNT } from '../../lib/wire/kinds.ts';
import { accountFrame } from '../../scripts/fleet/event-frames.ts';
import { HOST_ID } from './shard-world.ts';

const DID = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa';
const STAMP = { seq: 9, time: '2026-01-01T00:00:00.000Z' };

type Told = readonly [active: boolean, status: string | null, about: Partial<EventRecord>];

/** The state after these #account events, as consumers saw them. */
function after(before: Partial<RepoState>, ...events: readonly Told[]): RepoState {
  const replayer = new Replayer();
  const delta = emptyDelta();
  for (const [active, status, about] of events) {
    const parts = status === null ? { active } : { active, status };
    const frame = accountFrame({ did: DID, ...parts }, STAMP);
    replayer.add(frame, { kind: KIND_ACCOUNT, hostId: HOST_ID, statusCode: 0, ...about }, delta);
  }
  const state = { ...emptyState(), ...before };
  applyDelta(delta, state);
  return state;
}

const code = (localStatus: string | null, isUpstreamActive: boolean, upstreamStatus = null) =>
  statusCodeOf({ localStatus, isUpstreamActive, upstreamStatus });

t.test('AC-3, AC-6: a decision of ours is in the log, apart from the host’s word', async (t) => {
  const taken = { statusCode: code('takendown', true) };
  t.match(after({}, [false, 'takendown', taken]), {
    localStatus: 'takendown',
    isUpstreamActive: true,
    upstreamStatus: null,
  });
  const freed = { statusCode: code(null, false) };
  t.match(after({ localStatus: 'takendown' }, [false, 'deactivated', freed]), {
    localStatus: null,
    isUpstreamActive: false,
    upstreamStatus: 'deactivated',
  });
  const both = after(
    {},
    [false, 'takendown', taken],
    [true, null, { statusCode: code(null, true) }],
  );
  t.match(both, { localStatus: null, isUpstreamActive: true });
});

t.test('AC-3: what a record does not tell stays as it was', async (t) => {
  const old = after({ localStatus: 'embargoed' }, [false, 'frozen', {}]);
  t.match(old, { localStatus: 'embargoed', isUpstreamActive: false, upstreamStatus: 'frozen' });
});

t.test('HO-5: an event of our own for an account without a host leaves its host', async (t) => {
  t.equal(after({}, [true, null, {}], [false, 'takendown', { hostId: 0 }]).hostId, HOST_ID);
  t.equal(after({ hostId: 3 }, [false, 'takendown', { hostId: 0 }]).hostId, 3);
});
