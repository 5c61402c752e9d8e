import t from 'tap';
import {
  HOST_STATUSES,
  type HostEvent,
  isDialable,
  nextStatus,
  toHostStatus,
} from '../../lib/hosts/host.ts';

const EVENTS: readonly HostEvent[] = [
  'connected',
  'received',
  'unreachable',
  'future_cursor',
  'quiet',
  'limited',
  'unlimited',
  'banned',
  'unbanned',
];

t.test('only banned is final, and only an operator leaves it', async (t) => {
  for (const status of HOST_STATUSES) t.equal(nextStatus(status, 'banned'), 'banned');
  for (const event of EVENTS) {
    t.equal(nextStatus('banned', event), event === 'unbanned' ? 'active' : 'banned', event);
  }
  t.same(HOST_STATUSES.filter(isDialable), ['active', 'idle', 'offline', 'throttled']);
});

t.test('every other status finds its way back to active by itself (D4)', async (t) => {
  t.equal(nextStatus('offline', 'connected'), 'active');
  t.equal(nextStatus('idle', 'received'), 'active');
  t.equal(nextStatus('throttled', 'unlimited'), 'active');
});

t.test(
  'H11: a future cursor makes idle, and connecting alone does not make it active',
  async (t) => {
    t.equal(nextStatus('active', 'future_cursor'), 'idle');
    t.equal(nextStatus('idle', 'connected'), 'idle');
  },
);

t.test('unbanning a host that is not banned changes nothing', async (t) => {
  for (const status of HOST_STATUSES) {
    if (status !== 'banned') t.equal(nextStatus(status, 'unbanned'), status);
  }
});

t.test('a status from outside is one of the table or none', async (t) => {
  t.equal(toHostStatus('idle'), 'idle');
  t.equal(toHostStatus('constructor'), undefined);
});
