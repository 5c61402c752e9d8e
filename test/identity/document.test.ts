/** H142…H146, H91, DD-6: what a DID document says. */
import fc from 'fast-check';
import t from 'tap';
import { parseDocument } from '../../lib/identity/document.ts';
import {
  DID,
  documentOf,
  encodeBase58,
  KEY,
  keyEntry,
  multikey,
  newKey,
  OTHER_DID,
  pdsEntry,
  wholeKey,
} from './documents.ts';

const SAFE = { isInsecureAllowed: false };
const LOCAL = { isInsecureAllowed: true };
const parse = (fields: object, policy = SAFE) =>
  parseDocument(DID, documentOf(DID, fields), policy);

t.test('a right document', async (t) => {
  t.same(parse({}), {
    identity: {
      did: DID,
      pdsHost: 'pds.example.com',
      key: { curve: 'k256', bytes: KEY },
      handle: 'alice.example.com',
    },
    keyFault: null,
    pdsFault: null,
  });
});

t.test('H144, DD-6: the id must be the DID, to the letter', async (t) => {
  for (const id of [OTHER_DID, DID.toUpperCase(), `${DID}#x`, '', null, 7, [DID], undefined]) {
    t.same(parse({ id }), { fault: 'id_mismatch' }, String(id));
  }
  const inherited = Object.create({ id: DID }) as object;
  t.same(parseDocument(DID, inherited, SAFE), { fault: 'id_mismatch' }, 'S39: own fields only');
});

t.test('a document that is no object', async (t) => {
  for (const document of [null, 'x', 7, true, [], [documentOf(DID)], undefined]) {
    t.same(parseDocument(DID, document, SAFE), { fault: 'not_object' });
  }
});

t.test('HO-2, H142: no PDS, wrong type, wrong endpoint', async (t) => {
  const cases: readonly (readonly [fault: string, service: unknown])[] = [
    ['missing', []],
    ['missing', undefined],
    ['missing', { '#atproto_pds': {} }],
    ['missing', [null, 'x', 7, []]],
    ['missing', [pdsEntry('https://a.com', { id: '#atproto_labeler' })]],
    ['missing', [pdsEntry('https://a.com', { id: `${OTHER_DID}#atproto_pds` })]],
    ['missing', [pdsEntry('https://a.com', { id: 'x#atproto_pds' })]],
    ['missing', [pdsEntry('https://a.com', { id: '#ATPROTO_PDS' })]],
    ['type', [pdsEntry('https://a.com', { type: 'AtprotoLabeler' })]],
    ['type', [pdsEntry('https://a.com', { type: ['AtprotoPersonalDataServer'] })]],
    ['scheme', [pdsEntry('ftp://a.com')]],
    ['scheme', [pdsEntry('wss://a.com')]],
    ['scheme', [pdsEntry('http://a.com')]],
    ['scheme', [pdsEntry('a.com')]],
    ['scheme', [pdsEntry('')]],
    ['scheme', [pdsEntry(undefined)]],
    ['scheme', [pdsEntry({ uri: 'https://a.com' })]],
    ['scheme', [pdsEntry(['https://a.com'])]],
    ['scheme', [pdsEntry('javascript:alert(1)')]],
    ['path', [pdsEntry('https://a.com/xrpc')]],
    ['path', [pdsEntry('https://a.com?x=1')]],
    ['userinfo', [pdsEntry('https://u:p@a.com')]],
    ['port', [pdsEntry('https://a.com:8443')]],
    ['ip_address', [pdsEntry('https://169.254.169.254')]],
    ['ip_address', [pdsEntry('https://0x7f.1')]],
    ['ip_address', [pdsEntry('https://[::1]')]],
    ['reserved_domain', [pdsEntry('https://pds.internal')]],
    ['localhost', [pdsEntry('http://localhost:3000')]],
    ['too_long', [pdsEntry(`https://${'a'.repeat(60_000)}.com`)]],
  ];
  for (const [pdsFault, service] of cases) {
    const verdict = parse({ service });
    t.equal(verdict.fault, undefined, 'the document itself stays valid');
    t.equal(verdict.identity?.pdsHost, null);
    t.match(verdict, { pdsFault, keyFault: null }, JSON.stringify(service)?.slice(0, 80));
  }
});

t.test('H143: other spellings of the endpoint are the same host', async (t) => {
  const endpoints = [
    'https://pds.example.com',
    'https://PDS.Example.Com',
    'https://pds.example.com:443',
    'https://pds.example.com.',
    'https://pds.example.com/',
    'HTTPS://PDS.EXAMPLE.COM.:443/',
  ];
  for (const endpoint of endpoints) {
    t.equal(
      parse({ service: [pdsEntry(endpoint)] }).identity?.pdsHost,
      'pds.example.com',
      endpoint,
    );
  }
  const local = parse({ service: [pdsEntry('http://localhost:2583')] }, LOCAL);
  t.equal(local.identity?.pdsHost, 'localhost:2583');
});

t.test('the first valid PDS entry wins', async (t) => {
  const service = [
    pdsEntry('https://wrong.com', { type: 'Other' }),
    pdsEntry('https://10.0.0.1'),
    pdsEntry('https://right.com', { id: `${DID}#atproto_pds` }),
    pdsEntry('https://later.com'),
  ];
  t.match(parse({ service }), { identity: { pdsHost: 'right.com' }, pdsFault: null });
});

t.test('SG-5, H145: two #atproto entries, the first broken: the second is used', async (t) => {
  const bytes = newKey('p256');
  const verificationMethod = [
    keyEntry(DID, 'zBroken0'),
    keyEntry(DID, multikey('p256', bytes), { id: '#atproto' }),
    keyEntry(DID, multikey('k256', KEY)),
  ];
  t.same(parse({ verificationMethod }).identity?.key, { curve: 'p256', bytes });
});

t.test('SG-5, H146: an entry with a foreign controller is ignored', async (t) => {
  const foreign = keyEntry(DID, multikey('k256', newKey('k256')), { controller: OTHER_DID });
  const own = keyEntry(DID, multikey('k256', KEY));
  t.match(parse({ verificationMethod: [foreign] }), {
    identity: { key: null },
    keyFault: 'controller',
  });
  t.same(parse({ verificationMethod: [foreign, own] }).identity?.key?.bytes, KEY);
  for (const controller of [undefined, [DID], '', `${DID}#atproto`]) {
    const entry = keyEntry(DID, multikey('k256', KEY), { controller });
    t.equal(parse({ verificationMethod: [entry] }).identity?.key, null, String(controller));
  }
});

t.test('H91, H93: other keys of the document are not the signing key', async (t) => {
  const good = multikey('k256', KEY);
  const cases: readonly (readonly [fault: string, methods: unknown])[] = [
    ['missing', [keyEntry(DID, good, { id: '#atproto_label' })]],
    ['missing', [keyEntry(DID, good, { id: `${OTHER_DID}#atproto` })]],
    ['missing', [keyEntry(DID, good, { id: 'atproto' })]],
    ['missing', []],
    ['missing', undefined],
    ['missing', 'x'],
    ['invalid', [keyEntry(DID, 'z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK')]],
    ['invalid', [keyEntry(DID, good, { type: undefined })]],
    ['invalid', [keyEntry(DID, good, { publicKeyMultibase: { z: good } })]],
    ['invalid', [keyEntry(DID, good, { publicKeyMultibase: undefined, publicKeyJwk: {} })]],
  ];
  for (const [keyFault, verificationMethod] of cases) {
    t.match(parse({ verificationMethod }), { identity: { key: null }, keyFault });
  }
});

t.test('SG-6: a document in the old form', async (t) => {
  const type = 'EcdsaSecp256k1VerificationKey2019';
  const old = keyEntry(DID, `z${encodeBase58(wholeKey('k256', KEY))}`, { id: '#atproto', type });
  t.same(parse({ verificationMethod: [old] }).identity?.key, { curve: 'k256', bytes: KEY });
});

t.test('ID-3: the handle is the first at:// name that is one', async (t) => {
  const cases: readonly (readonly [handle: string | null, aliases: unknown])[] = [
    ['bob.example.com', ['https://x.com', 'at://', 'at://no', 'at://Bob.Example.com', 'at://c.d']],
    [null, ['at://a_b.com', 'at://did:plc:x', 'at://a.com/x', 7, null]],
    [null, undefined],
    [null, 'at://a.com'],
  ];
  for (const [handle, alsoKnownAs] of cases) {
    t.equal(parse({ alsoKnownAs }).identity?.handle, handle);
  }
});

t.test('of a document full of bad keys only the first candidates are looked at', async (t) => {
  const offCurve = Buffer.alloc(33, 5);
  offCurve[0] = 2;
  const bad = keyEntry(DID, multikey('k256', offCurve));
  let looked = 0;
  const verificationMethod = Array.from({ length: 500 }, () => ({
    ...bad,
    get publicKeyMultibase(): unknown {
      looked += 1;
      return Reflect.get(bad, 'publicKeyMultibase');
    },
  }));
  t.equal(parse({ verificationMethod }).identity?.key, null);
  t.equal(looked, 16);
});

t.test('S39: names that every object inherits are no entries', async (t) => {
  const document: unknown = JSON.parse(
    `{"id":"${DID}","__proto__":{"service":[${JSON.stringify(pdsEntry('https://a.com'))}]}}`,
  );
  t.match(parseDocument(DID, document, SAFE), { identity: { pdsHost: null, key: null } });
});

t.test('no document of any shape throws', async () => {
  const value = fc.jsonValue();
  const entry = fc.record(
    { id: fc.constantFrom('#atproto', '#atproto_pds'), type: value, controller: fc.constant(DID) },
    { requiredKeys: ['id'] },
  );
  const extra = fc.record({ publicKeyMultibase: value, serviceEndpoint: value });
  const list = fc.array(
    fc.oneof(
      value,
      fc.tuple(entry, extra).map(([a, b]) => ({ ...a, ...b })),
    ),
  );
  const document = fc.record(
    { id: fc.constant(DID), verificationMethod: list, service: list, alsoKnownAs: value },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(value, document), (input) => {
      const { identity, fault } = parseDocument(DID, input, LOCAL);
      return fault !== undefined || identity.did === DID;
    }),
    { numRuns: 500 },
  );
});
