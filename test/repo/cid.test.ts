import t from 'tap';
import { base32Decode, base32Encode } from '../../lib/repo/base32.ts';
import { cidFromText, cidText, EMPTY_TREE_CID } from '../../lib/repo/cid.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import { interopJson } from './interop.ts';

t.test('base32 of RFC 4648 §10, lower case, unpadded', async (t) => {
  const rows = [
    ['', ''],
    ['f', 'my'],
    ['fo', 'mzxq'],
    ['foo', 'mzxw6'],
    ['foob', 'mzxw6yq'],
    ['fooba', 'mzxw6ytb'],
    ['foobar', 'mzxw6ytboi'],
  ] as const;
  for (const [latin1, text] of rows) {
    t.equal(base32Encode(latin1), text);
    t.equal(base32Decode(text), latin1);
  }
  for (const bad of ['m', 'mz', 'MY', 'my======', 'm1', 'mzx', 'mzxw6y'])
    t.equal(base32Decode(bad), undefined, bad);
});

t.test('CD-3: a CID and its text', async (t) => {
  const text = 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm';
  t.equal(cidText(EMPTY_TREE_CID), text, 'MS-6: the empty tree');
  t.equal(cidFromText(text), EMPTY_TREE_CID);
  t.equal(EMPTY_TREE_CID, cidOf(Buffer.from('a2616580616cf6', 'hex')));
  const raw = `\x01\x55\x12\x20${EMPTY_TREE_CID.slice(4)}`;
  t.match(cidText(raw), /^bafkrei/);
  t.equal(cidFromText(cidText(raw)), raw);
});

t.test('CD-1: only the two blessed forms are CIDs', async (t) => {
  const digest = EMPTY_TREE_CID.slice(4);
  const bad = {
    CIDv0: 'QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n',
    'upper case': cidText(EMPTY_TREE_CID).toUpperCase(),
    'other base': `z${cidText(EMPTY_TREE_CID).slice(1)}`,
    'dag-pb': cidText(`\x01\x70\x12\x20${digest}`),
    'sha-1 code': cidText(`\x01\x71\x11\x20${digest}`),
    'short digest': cidText(EMPTY_TREE_CID.slice(0, -1)),
    'long digest': cidText(`${EMPTY_TREE_CID}\0`),
    nothing: '',
  };
  for (const [name, text] of Object.entries(bad)) t.equal(cidFromText(text), undefined, name);
});

t.test('CIDs of the data-model fixtures', async (t) => {
  type Fixture = { readonly cbor_base64: string; readonly cid: string };
  const fixtures = interopJson<Fixture[]>('data-model/data-model-fixtures.json');
  t.equal(fixtures.length, 3);
  for (const fixture of fixtures)
    t.equal(cidText(cidOf(Buffer.from(fixture.cbor_base64, 'base64'))), fixture.cid);
});
