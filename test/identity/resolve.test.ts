/** DD-2…DD-7, H142…H147, S7, S8, D38: looking up DIDs over real sockets. */
import t from 'tap';
import { DID, documentOf, KEY, keyEntry, multikey, newKey, OTHER_DID } from './documents.ts';
import { directory, documentFor, plcDid, setUp, web } from './resolver-setup.ts';

t.test('did:plc: found', async (t) => {
  const plc = await directory(t);
  const { resolver, metrics } = setUp(t, plc);
  t.same(await resolver.resolve(DID), {
    kind: 'found',
    did: DID,
    identity: {
      did: DID,
      pdsHost: 'pds.example.com',
      key: { curve: 'k256', bytes: KEY },
      handle: 'alice.example.com',
    },
    keyFault: null,
    pdsFault: null,
  });
  t.match(plc.requests, [{ url: `/${DID}`, headers: { 'accept-encoding': 'identity' } }]);
  t.equal(metrics.read('relay_identity_resolves_total:ok'), 1);
  t.equal(metrics.read('relay_identity_in_flight_count'), 0);
  t.equal(resolver.runningCount, 0);
});

t.test('the directory may lie below a path', async (t) => {
  const plc = await web(t, (request, response) =>
    response.end(documentFor(request.url?.replace('/mirror', ''))),
  );
  const { resolver } = setUp(t, plc, { plcUrl: `${plc.origin}/mirror/` });
  t.match(await resolver.resolve(DID), { kind: 'found' });
  t.equal(plc.requests[0]?.url, `/mirror/${DID}`);
});

t.test('did:web on localhost in insecure mode', async (t) => {
  const plc = await directory(t);
  const host = await web(t, (_, response) => response.end(JSON.stringify(documentOf(host.did))));
  const { resolver } = setUp(t, plc);
  t.match(await resolver.resolve(host.did), { kind: 'found', identity: { did: host.did } });
  t.equal(host.requests[0]?.url, '/.well-known/did.json');
  t.equal(plc.connectionCount(), 0);
  const { resolver: strict } = setUp(t, plc, { isInsecureAllowed: false });
  t.match(await strict.resolve(host.did), { kind: 'document_bad', why: 'did' });
  t.equal(host.connectionCount(), 1);
});

t.test('S7, H45…H49: a DID that cannot resolve causes no request', async (t) => {
  const plc = await directory(t);
  const { resolver, metrics } = setUp(t, plc);
  const dids = ['did:plc:../admin', 'did:web:127.0.0.1', 'did:key:zQ3sh', '', `${DID}?x=1`];
  for (const did of [...dids, 'did:web:example.com:u:a', 'did:web:a.internal']) {
    t.match(await resolver.resolve(did), { kind: 'document_bad', did, why: 'did' }, did);
  }
  t.equal(plc.connectionCount(), 0);
  t.equal(metrics.read('relay_identity_resolves_total:bad_document'), 7);
});

t.test('DD-7, H147: 404 is unknown, 410 of the directory is a tombstone', async (t) => {
  const plc = await web(t, (request, response) => {
    response.statusCode = request.url === `/${DID}` ? 404 : 410;
    response.end('{"message":"no"}');
  });
  const { resolver, metrics } = setUp(t, plc);
  t.same(await resolver.resolve(DID), { kind: 'not_found', did: DID });
  t.same(await resolver.resolve(OTHER_DID), { kind: 'tombstoned', did: OTHER_DID });
  t.equal(metrics.read('relay_identity_resolves_total:not_found'), 1);
  t.equal(metrics.read('relay_identity_resolves_total:tombstoned'), 1);
  const host = await web(t, (_, response) => {
    response.statusCode = 410;
    response.end();
  });
  const gone = await resolver.resolve(host.did);
  t.same(gone, { kind: 'not_found', did: host.did }, 'a web host cannot declare an account dead');
});

t.test('DD-6, H144: a document for somebody else', async (t) => {
  const plc = await web(t, (_, response) => response.end(JSON.stringify(documentOf(OTHER_DID))));
  const { resolver } = setUp(t, plc);
  t.same(await resolver.resolve(DID), { kind: 'document_bad', did: DID, why: 'id_mismatch' });
});

t.test('H142, H145, H146: what the document lacks is told, not refused', async (t) => {
  const foreign = keyEntry(DID, multikey('k256', KEY), { controller: OTHER_DID });
  const plc = await web(t, (_, response) => {
    response.end(JSON.stringify(documentOf(DID, { service: [], verificationMethod: [foreign] })));
  });
  const { resolver } = setUp(t, plc);
  t.match(await resolver.resolve(DID), {
    kind: 'found',
    identity: { pdsHost: null, key: null },
    keyFault: 'controller',
    pdsFault: 'missing',
  });
});

t.test('slow did:web hosts do not hold up the directory', async (t) => {
  const plc = await directory(t);
  const hosts = await Promise.all(Array.from({ length: 4 }, () => web(t, () => {})));
  const { resolver } = setUp(t, plc, { webLane: { concurrencyMax: 2, queueMax: 10 } });
  const slow = hosts.map((host) => resolver.resolve(host.did));
  const first = await Promise.race([resolver.resolve(DID), ...slow]);
  t.match(first, { kind: 'found', did: DID }, 'while all web turns are taken');
});

t.test('concurrent look-ups of one DID are one request', async (t) => {
  const plc = await web(t, (request, response) => {
    setTimeout(() => response.end(documentFor(request.url)), 50);
  });
  const { resolver, metrics } = setUp(t, plc);
  const outcomes = await Promise.all(Array.from({ length: 500 }, () => resolver.resolve(DID)));
  t.equal(new Set(outcomes).size, 1);
  t.equal(plc.requests.length, 1);
  t.equal(metrics.read('relay_identity_coalesced_total'), 499);
});

t.test('ID-1, H89: a fresh look-up is not answered by a request sent before', async (t) => {
  const newBytes = newKey('p256');
  const changed = documentOf(DID, {
    verificationMethod: [keyEntry(DID, multikey('p256', newBytes))],
  });
  const plc = await web(t, (_, response, count) => {
    const body = JSON.stringify(count === 1 ? documentOf(DID) : changed);
    setTimeout(() => response.end(body), 50);
  });
  const { resolver } = setUp(t, plc);
  const early = resolver.resolve(DID);
  while (plc.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  const late = Array.from({ length: 20 }, () => resolver.resolve(DID, true));
  t.match(await early, { identity: { key: { curve: 'k256' } } });
  for (const outcome of await Promise.all(late)) {
    t.match(outcome, { identity: { key: { curve: 'p256', bytes: newBytes } } });
  }
  t.equal(plc.requests.length, 2, 'and all of them share one');
  t.equal(plc.requests[1]?.headers['cache-control'], 'no-cache');
  t.equal(resolver.runningCount, 0);
});

t.test('D38, S8: so many at once, so many waiting, the rest is told to come back', async (t) => {
  let active = 0;
  let activeMax = 0;
  const plc = await web(t, (request, response) => {
    activeMax = Math.max(activeMax, ++active);
    setTimeout(() => {
      active--;
      response.end(documentFor(request.url));
    }, 20);
  });
  const plcLane = { concurrencyMax: 3, queueMax: 10, ratePerSecond: 1000, burst: 1000 };
  const { resolver, metrics } = setUp(t, plc, { plcLane });
  const all = Array.from({ length: 50 }, (_, index) => resolver.resolve(plcDid(index)));
  t.equal(metrics.read('relay_identity_queued_count'), 10);
  t.equal(metrics.read('relay_identity_in_flight_count'), 3);
  const outcomes = await Promise.all(all);
  t.equal(activeMax, 3);
  t.equal(plc.connectionCount(), 3, 'connections to the directory are kept');
  t.equal(outcomes.filter(({ kind }) => kind === 'found').length, 13);
  t.equal(metrics.read('relay_identity_resolves_total:overloaded'), 37);
  t.equal(metrics.read('relay_identity_queued_count'), 0);
  t.equal(resolver.runningCount, 0);
});

t.test('LM-11, S8: the rate to the directory is bounded', async (t) => {
  const plc = await directory(t);
  const plcLane = { concurrencyMax: 50, ratePerSecond: 50, burst: 10 };
  const { resolver } = setUp(t, plc, { plcLane });
  const startMs = performance.now();
  await Promise.all(Array.from({ length: 30 }, (_, index) => resolver.resolve(plcDid(index))));
  const tookMs = performance.now() - startMs;
  t.ok(tookMs >= 380, `30 look-ups with 10 at once and 50 a second took ${tookMs} ms`);
});

t.test('close ends everything under way and waiting, and leaves nothing open', async (t) => {
  const plc = await web(t, () => {});
  const host = await web(t, () => {});
  const { resolver } = setUp(t, plc, { plcLane: { concurrencyMax: 1 } });
  const all = [plcDid(1), plcDid(2), plcDid(3), host.did].map((did) => resolver.resolve(did));
  while (plc.requests.length + host.requests.length < 2) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  resolver.close();
  for (const outcome of await Promise.all(all)) {
    t.match(outcome, { kind: 'failed', why: 'closed' });
  }
  await new Promise((resolve) => setTimeout(resolve, 30));
  t.equal(plc.openCount() + host.openCount(), 0);
  t.equal(resolver.runningCount, 0);
  t.match(await resolver.resolve(DID), { kind: 'failed', why: 'closed' });
});

t.test('a PLC URL that is none is a mistake of ours', async (t) => {
  const plc = await directory(t);
  for (const plcUrl of ['', 'plc.directory', 'ftp://plc.directory']) {
    t.throws(() => setUp(t, plc, { plcUrl }), /PLC URL/);
  }
});
