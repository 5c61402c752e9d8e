/** S7, H45…H49, DD-2…DD-5: where a DID is looked up, and which are not looked up at all. */
import t from 'tap';
import { didUrl } from '../../lib/identity/did-url.ts';
import { DID } from './documents.ts';

const SAFE = { plcUrl: 'https://plc.directory', isInsecureAllowed: false };
const LOCAL = { plcUrl: 'http://localhost:2582', isInsecureAllowed: true };

t.test('did:plc goes to the configured directory', async (t) => {
  t.same(didUrl(DID, SAFE), {
    method: 'plc',
    url: `https://plc.directory/${DID}`,
    origin: 'https://plc.directory',
  });
  t.equal(didUrl(DID, LOCAL)?.url, `http://localhost:2582/${DID}`);
});

t.test('did:web goes to its host', async (t) => {
  t.same(didUrl('did:web:alice.example.com', SAFE), {
    method: 'web',
    url: 'https://alice.example.com/.well-known/did.json',
    origin: 'https://alice.example.com',
  });
  t.equal(
    didUrl('did:web:localhost%3A3000', LOCAL)?.url,
    'http://localhost:3000/.well-known/did.json',
  );
});

t.test('S7, H45…H49: nothing else becomes a URL', async (t) => {
  const dids = [
    '',
    'did:plc:',
    'did:plc:short',
    `${DID}a`,
    `${DID.slice(0, -1)}1`,
    DID.toUpperCase(),
    `${DID}/../x`,
    `${DID}?x`,
    `${DID}#x`,
    ` ${DID}`,
    `${DID}\n`,
    'did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme',
    'did:ethr:0xb9c5714089478a327f09197987f16f9e5d936e8a',
    'did:web:',
    'did:web:Example.com',
    'did:web:example.com.',
    'did:web:example.com:u:alice',
    'did:web:example.com/x',
    'did:web:example.com%2Fx',
    'did:web:example.com%3A8443',
    'did:web:user%40example.com',
    'did:web:127.0.0.1',
    'did:web:127.1',
    'did:web:0x7f.1',
    'did:web:2130706433',
    'did:web:%5B%3A%3A1%5D',
    'did:web:localhost',
    'did:web:localhost%3A3000',
    'did:web:printer.local',
    'did:web:metadata.google.internal',
    'did:web:1.0.0.127.in-addr.arpa',
    'did:web:a.onion',
    'did:web:a.test',
    'did:web:single',
    `did:web:${'a.'.repeat(1200)}com`,
  ];
  for (const did of dids) t.equal(didUrl(did, SAFE), undefined, did.slice(0, 60));
  const still = ['did:web:127.0.0.1%3A80', 'did:web:localhost%3a3000', 'did:web:localhost%3A0'];
  for (const did of [...still, 'did:web:a.com%3A80', 'did:web:localhost%3A3000%3A1']) {
    t.equal(didUrl(did, LOCAL), undefined, `${did}, insecure`);
  }
});
