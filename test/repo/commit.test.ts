import t from 'tap';
import { CommitObject } from '../../lib/repo/commit.ts';
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { EMPTY_TREE } from '../../scripts/fleet/repo-tree.ts';
import { encodeCommit } from '../../scripts/fleet/signed-repo.ts';

const FIELDS = { did: 'did:plc:abc', rev: '3jui7kd54zh2y', data: EMPTY_TREE.cid };
const SIG = Buffer.alloc(64, 7);
const DIGEST = EMPTY_TREE.cid.slice(4);

function parse(block: Buffer): { readonly object: CommitObject; readonly verdict: string } {
  const object = new CommitObject();
  const padded = Buffer.concat([Buffer.from('xyz'), block, Buffer.from('zyx')]);
  return { object, verdict: object.parse(padded, 3, 3 + block.length) ?? 'ok' };
}

type Write = (out: DrislWriter) => DrislWriter;
/** The entries of a right commit in canonical order; a test changes some of them. */
const ENTRIES: Readonly<Record<string, Write>> = {
  did: (out) => out.text(FIELDS.did),
  rev: (out) => out.text(FIELDS.rev),
  sig: (out) => out.bytes(SIG),
  data: (out) => out.link(FIELDS.data),
  prev: (out) => out.null(),
  version: (out) => out.integer(3),
};

function build(entries: readonly (readonly [string, Write])[]): Buffer {
  const out = new DrislWriter().map(entries.length);
  for (const [key, write] of entries) write(out.text(key));
  return out.done();
}

function changed(changes: Readonly<Record<string, Write | undefined>>): Buffer {
  const entries = Object.entries({ ...ENTRIES, ...changes });
  return build(entries.flatMap(([key, write]) => (write === undefined ? [] : [[key, write]])));
}

t.test('CM-1: a right commit object', async (t) => {
  const { object, verdict } = parse(encodeCommit(FIELDS, SIG));
  t.equal(verdict, 'ok');
  t.equal(object.did, FIELDS.did);
  t.equal(object.rev, FIELDS.rev);
  t.equal(object.dataCid, FIELDS.data);
  t.same(object.signature, SIG);
  t.same(changed({}), encodeCommit(FIELDS, SIG), 'the builder of this test is right');
});

t.test('CM-2, CM-3: the signed bytes are the block without its sig entry', async (t) => {
  const { object } = parse(encodeCommit(FIELDS, SIG));
  t.same(object.unsignedBytes(), encodeCommit(FIELDS));
});

t.test('H83: extra fields are allowed and stay among the signed bytes', async (t) => {
  const extra: [string, Write] = ['x', (out) => out.map(1).text('y').array(0)];
  const late: [string, Write] = ['zzzzzzzzz', (out) => out.text('z')];
  const entries = Object.entries(ENTRIES);
  const { object, verdict } = parse(build([extra, ...entries, late]));
  t.equal(verdict, 'ok');
  const unsigned = [extra, ...entries.filter(([key]) => key !== 'sig'), late];
  t.same(object.unsignedBytes(), build(unsigned));
});

t.test('H83: a map head that shrinks from two bytes to one', async (t) => {
  const many = Array.from({ length: 18 }, (_, i): [string, Write] => [
    `xxxxxxxx${String.fromCharCode(97 + i)}`,
    (out) => out.null(),
  ]);
  const entries = [...Object.entries(ENTRIES), ...many];
  t.equal(entries.length, 24);
  const { object, verdict } = parse(build(entries));
  t.equal(verdict, 'ok');
  t.same(object.unsignedBytes(), build(entries.filter(([key]) => key !== 'sig')));
});

t.test('a block beyond the scratch, then a small one', async (t) => {
  const big = changed({ zzzzzzzzz: (out) => out.bytes(Buffer.alloc(200_000)) });
  const object = new CommitObject();
  t.equal(object.parse(big, 0, big.length), undefined);
  t.equal(object.unsignedBytes().length, big.length - 70);
  const small = encodeCommit(FIELDS, SIG);
  t.equal(object.parse(small, 0, small.length), undefined);
  t.same(object.unsignedBytes(), encodeCommit(FIELDS));
});

t.test('CM-1, CB-9, H75: no map, no CBOR, more than one object', async (t) => {
  const right = encodeCommit(FIELDS, SIG);
  const bad: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    'a list': new DrislWriter().array(0).done(),
    'a text': new DrislWriter().text('commit').done(),
    'an empty map': new DrislWriter().map(0).done(),
    'no CBOR': Buffer.from('ffffff', 'hex'),
    truncated: right.subarray(0, -1),
    'a byte more': Buffer.concat([right, Buffer.from([0])]),
  };
  for (const [name, block] of Object.entries(bad)) {
    const expected = name === 'an empty map' ? 'commit_version_bad' : 'commit_object_bad';
    t.equal(parse(block).verdict, expected, name);
  }
});

t.test('CM-1, H76: version 2, 4, missing, not a number', async (t) => {
  const bad: Record<string, Write | undefined> = {
    '2': (out) => out.integer(2),
    '4': (out) => out.integer(4),
    missing: undefined,
    text: (out) => out.text('3'),
    null: (out) => out.null(),
    '259': (out) => out.integer(259),
  };
  for (const [name, version] of Object.entries(bad))
    t.equal(parse(changed({ version })).verdict, 'commit_version_bad', name);
});

t.test('CD-4, CM-1, H79: data missing, null, raw, of another hash', async (t) => {
  const bad: Record<string, Write | undefined> = {
    missing: undefined,
    null: (out) => out.null(),
    'raw codec': (out) => out.link(`\x01\x55\x12\x20${DIGEST}`),
    text: (out) => out.text('bafy'),
    'sha-512': (out) =>
      out
        .raw(Buffer.from('d82a584500', 'hex'))
        .raw(Buffer.from(`\x01\x71\x13\x40${DIGEST}${DIGEST}`, 'latin1')),
  };
  for (const [name, data] of Object.entries(bad))
    t.equal(parse(changed({ data })).verdict, 'commit_object_bad', name);
});

t.test('CM-1, H80: prev must be there; H81: it may be a CID', async (t) => {
  t.equal(parse(changed({ prev: undefined })).verdict, 'commit_object_bad');
  t.equal(parse(changed({ prev: (out) => out.text('') })).verdict, 'commit_object_bad');
  t.equal(parse(changed({ prev: (out) => out.link(EMPTY_TREE.cid) })).verdict, 'ok');
});

t.test('did and rev must be texts', async (t) => {
  for (const key of ['did', 'rev']) {
    t.equal(parse(changed({ [key]: undefined })).verdict, 'commit_object_bad', key);
    const bytes = parse(changed({ [key]: (out) => out.bytes(Buffer.from('x')) }));
    t.equal(bytes.verdict, 'commit_object_bad', key);
  }
});

t.test('CM-3, CB-3, H82: keys unsorted, twice, or not in shortest form', async (t) => {
  const entries = Object.entries(ENTRIES);
  const swapped = entries.toSpliced(0, 2, ...entries.slice(0, 2).reverse());
  t.equal(parse(build(swapped)).verdict, 'commit_object_bad', 'unsorted');
  const twice = entries.toSpliced(1, 0, ...entries.slice(0, 1));
  t.equal(parse(build(twice)).verdict, 'commit_object_bad', 'twice');
  const right = encodeCommit(FIELDS, SIG);
  const long = Buffer.concat([right.subarray(0, -1), Buffer.from([0x18, 0x03])]);
  t.equal(parse(long).verdict, 'commit_object_bad', 'version as 18 03');
});

t.test('H84: sig missing or no bytes', async (t) => {
  t.equal(parse(changed({ sig: undefined })).verdict, 'commit_signature_malformed');
  t.equal(parse(changed({ sig: (out) => out.text('x'.repeat(64)) })).verdict, 'commit_object_bad');
});
