import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { ReplayFilter, type ReplayVerdict } from '../../lib/upstream/replay-filter.ts';
import { type DidHash, didHashOfText } from '../../lib/wire/did-hash.ts';

type Event = { readonly hostSeq: number; readonly did: string; readonly body: string };

function hashOf(did: string): DidHash {
  const hash = { lo: 0, hi: 0 };
  didHashOfText(did, hash);
  return hash;
}

function filterOf(
  events: readonly Event[],
  cursor: number | null = 0,
  entriesMax = 1000,
): ReplayFilter {
  const filter = new ReplayFilter({ entriesMax });
  for (const { hostSeq, did, body } of events) {
    const { lo, hi } = hashOf(did);
    filter.add(1, cursor, { hostSeq, upstreamCrc: crc32(body), didHashLo: lo, didHashHi: hi });
  }
  return filter;
}

function judge(filter: ReplayFilter, event: Event): ReplayVerdict {
  return filter.judge(1, event.hostSeq, hashOf(event.did), () => crc32(event.body));
}

// In the order of our log, which is not the host's order.
const LOG: readonly Event[] = [
  { hostSeq: 15, did: 'did:plc:b', body: 'b15' },
  { hostSeq: 11, did: 'did:plc:a', body: 'a11' },
  { hostSeq: 13, did: 'did:plc:a', body: 'a13' },
  { hostSeq: 20, did: 'did:plc:c', body: 'c20' },
];

t.test('G9: the table of verdicts', async (t) => {
  const table: readonly [what: string, event: Event, verdict: ReplayVerdict][] = [
    ['in the log', { hostSeq: 11, did: 'did:plc:a', body: 'a11' }, 'skip'],
    ['absent, a later one of its DID is in', { hostSeq: 12, did: 'did:plc:a', body: 'x' }, 'late'],
    ['absent, only earlier ones of its DID', { hostSeq: 14, did: 'did:plc:a', body: 'x' }, 'pass'],
    ['absent, no other of its DID', { hostSeq: 14, did: 'did:plc:z', body: 'x' }, 'pass'],
    ['before a later DID mate far on', { hostSeq: 14, did: 'did:plc:c', body: 'x' }, 'late'],
    ['the last of the list', { hostSeq: 20, did: 'did:plc:c', body: 'c20' }, 'skip'],
    ['same seq, other bytes', { hostSeq: 15, did: 'did:plc:b', body: 'other' }, 'renumbered'],
    ['above the list', { hostSeq: 21, did: 'did:plc:a', body: 'x' }, 'pass'],
  ];
  for (const [what, event, verdict] of table) t.equal(judge(filterOf(LOG), event), verdict, what);
});

t.test('G9: a list is forgotten above its end, on renumbering and by order', async (t) => {
  const above = filterOf(LOG);
  judge(above, { hostSeq: 21, did: 'did:plc:z', body: 'x' });
  t.notOk(above.has(1));
  t.equal(above.entryCount, 0);
  t.equal(judge(above, { hostSeq: 11, did: 'did:plc:a', body: 'a11' }), 'pass');

  const renumbered = filterOf(LOG);
  judge(renumbered, { hostSeq: 11, did: 'did:plc:q', body: 'new numbering' });
  t.notOk(renumbered.has(1));
  t.equal(judge(renumbered, { hostSeq: 12, did: 'did:plc:a', body: 'x' }), 'pass', 'not late');

  const forgotten = filterOf(LOG);
  forgotten.forget(1);
  forgotten.forget(1);
  t.equal(forgotten.entryCount, 0);
});

t.test('G9: at or below the stored cursor nothing is judged late', async (t) => {
  const filter = filterOf([{ hostSeq: 5, did: 'did:plc:a', body: 'old' }, ...LOG], 10);
  t.equal(filter.entryCount, LOG.length, 'nor kept');
  t.equal(judge(filter, { hostSeq: 5, did: 'did:plc:a', body: 'x' }), 'pass');
  t.ok(filter.has(1));
});

t.test('the checksum is computed only for a seq that is in the list', async (t) => {
  const filter = filterOf(LOG);
  let count = 0;
  const crcOf = (): number => {
    count++;
    return crc32('a11');
  };
  filter.judge(1, 14, hashOf('did:plc:z'), crcOf);
  t.equal(count, 0);
  filter.judge(1, 11, hashOf('did:plc:a'), crcOf);
  t.equal(count, 1);
});

t.test('hosts do not share lists', async (t) => {
  const filter = filterOf(LOG);
  t.equal(
    filter.judge(2, 11, hashOf('did:plc:a'), () => crc32('a11')),
    'pass',
  );
  t.ok(filter.has(1));
});

t.test('G26: memory is bounded; a host that does not fit has no list and is counted', async (t) => {
  const filter = new ReplayFilter({ entriesMax: 3 });
  const add = (hostId: number, hostSeq: number): void =>
    filter.add(hostId, 0, { hostSeq, upstreamCrc: 1, didHashLo: 1, didHashHi: 1 });
  add(1, 1);
  for (let hostSeq = 1; hostSeq < 10; hostSeq++) add(2, hostSeq);
  t.equal(filter.overflowedCount, 1);
  t.notOk(filter.has(2), 'half a list would reject late what was never judged');
  t.ok(filter.has(1));
  t.equal(filter.entryCount, 1);
  add(1, 2);
  t.equal(filter.entryCount, 2);
});

/**
 * A host sends a stream; some of it was accepted, some rejected, some never judged before the
 * kill. Per DID it was judged in order. On replay from the cursor, what must come of each frame
 * is known: accepted → skip, rejected with a later accepted one of its DID → late, else judged.
 */
t.test('G9 property: nothing lost, nothing doubled, against a model', async () => {
  const frame = fc.record({ did: fc.nat(4), isAccepted: fc.boolean(), gap: fc.nat(3) });
  fc.assert(
    fc.property(
      fc.array(frame, { minLength: 1, maxLength: 60 }),
      fc.array(fc.nat(70), { minLength: 5, maxLength: 5 }),
      fc.nat(30),
      fc.array(fc.nat(), { minLength: 60, maxLength: 60 }),
      (frames, judgedOf, cursorIndex, order) => {
        let seq = 100;
        const stream = frames.map(({ did, isAccepted, gap }, index) => {
          seq += 1 + gap;
          // Each DID's shard got as far as its own entry of `judgedOf`.
          const isJudged = index < (judgedOf[did] ?? 0);
          return { hostSeq: seq, did: `did:plc:${did}`, body: `${seq}`, isAccepted, isJudged };
        });
        const cursor = stream[cursorIndex]?.hostSeq ?? 100;
        const inLog = stream
          .filter(({ isAccepted, isJudged }) => isAccepted && isJudged)
          .map((event, index) => ({ event, key: order[index] ?? 0 }))
          .sort((a, b) => a.key - b.key)
          .map(({ event }) => event);
        const filter = filterOf(inLog, cursor);
        return stream
          .filter(({ hostSeq }) => hostSeq > cursor)
          .every((event) => {
            const verdict = judge(filter, event);
            if (inLog.includes(event)) return verdict === 'skip';
            const isLate = inLog.some(
              ({ did, hostSeq }) => did === event.did && hostSeq > event.hostSeq,
            );
            return verdict === (isLate ? 'late' : 'pass');
          });
      },
    ),
    { numRuns: 500 },
  );
});
