import t from 'tap';
import { DID_CHARS_MAX, didVerdict, isDidSyntax } from '../../lib/repo/did.ts';
import { interopLines } from './interop.ts';

const STRICT = { isInsecure: false };
const INSECURE = { isInsecure: true };
const PLC = 'did:plc:z72i7hdynmk6r22z27h6tvur';

t.test('DD-1: the interop lists', async (t) => {
  for (const did of interopLines('syntax/did_syntax_valid.txt')) t.ok(isDidSyntax(did), did);
  for (const did of interopLines('syntax/did_syntax_invalid.txt')) t.notOk(isDidSyntax(did), did);
});

t.test('LM-6, H47: at most 2048 characters', async (t) => {
  const longest = `did:web:${'a'.repeat(DID_CHARS_MAX - 8)}`;
  t.equal(longest.length, 2048);
  t.ok(isDidSyntax(longest));
  t.notOk(isDidSyntax(`${longest}a`));
  t.equal(didVerdict(`${longest}a`, STRICT), 'did_syntax_bad');
});

t.test('DD-3, DD-5, H45, H46: wrong spelling is did_syntax_bad', async (t) => {
  t.equal(didVerdict(PLC, STRICT), undefined);
  const bad = [
    'DID:plc:z72i7hdynmk6r22z27h6tvur',
    'did:PLC:z72i7hdynmk6r22z27h6tvur',
    'did:METHOD:abc',
    `${PLC}:`,
    `${PLC}/a`,
    `${PLC}?a`,
    `${PLC}#a`,
    `${PLC}\n`,
    PLC.toUpperCase(),
    'did:plc:Z72i7hdynmk6r22z27h6tvur',
    PLC.slice(0, -1),
    `${PLC}a`,
    'did:plc:z72i7hdynmk6r22z27h6tvu0',
    'did:plc:z72i7hdynmk6r22z27h6tvu1',
    'did:plc:z72i7hdynmk6r22z27h6tvu8',
    'did:plc:z72i7hdynmk6r22z27h6tvu9',
    'did:plc:',
    'did:web:Example.com',
    'did:web:example.COM',
    'did',
    '',
  ];
  for (const did of bad) t.equal(didVerdict(did, STRICT), 'did_syntax_bad', did);
});

t.test('DD-2, H48: other methods are did_method_unsupported', async (t) => {
  for (const did of ['did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N', 'did:ethr:0xb9'])
    t.equal(didVerdict(did, STRICT), 'did_method_unsupported', did);
});

t.test('H49, DD-4: did:web is a public hostname and nothing else', async (t) => {
  for (const did of ['did:web:example.com', 'did:web:a-1.b.example.com', 'did:web:xn--zckzah.jp'])
    t.equal(didVerdict(did, STRICT), undefined, did);
  const bad = [
    'did:web:example.com:u:alice',
    'did:web:example.com%3A8080',
    'did:web:example.com%3a8080',
    'did:web:example.com%2fu',
    'did:web:localhost',
    'did:web:localhost%3A2583',
    'did:web:pds.test',
    'did:web:127.0.0.1',
    'did:web:1.2.3.4',
    'did:web:example',
    'did:web:.example.com',
    'did:web:example..com',
    'did:web:example.com.',
    'did:web:-a.com',
    'did:web:a-.com',
    'did:web:a_b.com',
    'did:web:example.1com',
    `did:web:${'a'.repeat(64)}.com`,
    `did:web:${'a.'.repeat(126)}comm`,
    ...['alt', 'arpa', 'example', 'internal', 'invalid', 'local', 'localhost', 'onion'].map(
      (top) => `did:web:host.${top}`,
    ),
  ];
  for (const did of bad) t.equal(didVerdict(did, STRICT), 'did_method_unsupported', did);
});

t.test('DD-4: localhost with a port, and .test, in development only', async (t) => {
  for (const did of ['did:web:localhost', 'did:web:localhost%3A36151', 'did:web:pds.test'])
    t.equal(didVerdict(did, INSECURE), undefined, did);
  const bad = [
    'did:web:localhost%3A',
    'did:web:localhost%3A0',
    'did:web:localhost%3A65536',
    'did:web:localhost%3A1%3A2',
    'did:web:localhost:2583',
    'did:web:host.localhost',
    'did:web:example.com%3A8080',
  ];
  for (const did of bad)
    t.ok(
      ['did_method_unsupported', 'did_syntax_bad'].includes(didVerdict(did, INSECURE) ?? ''),
      did,
    );
});
