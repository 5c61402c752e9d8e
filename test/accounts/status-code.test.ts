/** The byte behind an #account in the log: what the host said, and what stood over it. */
import t from 'tap';
import { readStatusCode, statusCodeOf } from '../../lib/accounts/status-code.ts';

const HOST_STATUSES = [
  null,
  'takendown',
  'suspended',
  'deleted',
  'deactivated',
  'desynchronized',
  'throttled',
];

t.test('AC-3: both words are told apart, whatever the frame shows', async (t) => {
  const codes = new Set<number>();
  for (const localStatus of ['takendown', 'suspended', 'throttled', 'host-throttled']) {
    for (const isUpstreamActive of [true, false]) {
      for (const upstreamStatus of HOST_STATUSES) {
        const code = statusCodeOf({ localStatus, isUpstreamActive, upstreamStatus });
        const { local, upstream } = readStatusCode(code);
        t.equal(local, localStatus);
        t.equal(upstream?.isActive, isUpstreamActive, 'AC-2: `active` decides, and is exact');
        const isKnown = !isUpstreamActive || upstream?.status !== null || upstreamStatus === null;
        if (isKnown) t.equal(upstream?.status, upstreamStatus);
        else t.match(upstreamStatus, /takendown|suspended|deleted|deactivated/, 'never active');
        t.ok(code > 0 && code < 256, 'one byte');
        codes.add(code);
      }
    }
  }
  t.equal(codes.size, 40);
});

t.test('AC-2: an unknown word of the host keeps its `active`', async (t) => {
  const word = (isUpstreamActive: boolean) =>
    readStatusCode(
      statusCodeOf({ localStatus: 'takendown', isUpstreamActive, upstreamStatus: 'frozen' }),
    ).upstream;
  t.same(word(true), { isActive: true, status: null });
  t.same(word(false), { isActive: false, status: null });
});

t.test('without a status of our own the frame shows the host’s', async (t) => {
  const code = statusCodeOf({
    localStatus: null,
    isUpstreamActive: false,
    upstreamStatus: 'frozen',
  });
  t.same(readStatusCode(code), { upstream: undefined, local: null });
});

t.test('what is not told stays as it was: old logs, newer relays', async (t) => {
  t.same(readStatusCode(0), { upstream: undefined, local: undefined });
  const embargoed = { localStatus: 'embargoed', isUpstreamActive: false, upstreamStatus: null };
  t.same(readStatusCode(statusCodeOf(embargoed)), {
    upstream: { isActive: false, status: null },
    local: undefined,
  });
  t.same(readStatusCode(0xff), { upstream: undefined, local: undefined });
});

t.test('the bytes are stored: they mean the same for ever', async (t) => {
  const code = (
    localStatus: string | null,
    upstreamStatus: string | null,
    isUpstreamActive = false,
  ) => statusCodeOf({ localStatus, isUpstreamActive, upstreamStatus });
  t.equal(code(null, 'deleted'), 0x10);
  t.equal(code('takendown', null, true), 0x21);
  t.equal(code('takendown', null), 0x22);
  t.equal(code('suspended', 'takendown'), 0x33);
  t.equal(code('throttled', 'deleted'), 0x45);
  t.equal(code('host-throttled', 'throttled', true), 0x5a);
});
