/** Fields, syntax and limits of the message (spec sheet §5.3). */
import { identityFrame } from '../../scripts/fleet/event-frames.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import { encodePost, type RepoOp, SignedRepo, varint } from '../../scripts/fleet/signed-repo.ts';
import type { Fields, Value } from '../wire/frames.ts';
import type { VerdictCase } from './case.ts';
import {
  committed,
  create,
  type Draft,
  draft,
  forged,
  linkTo,
  message,
  newPath,
  newRecord,
  oneDraft,
  opFields,
  syncMessage,
  syncWith,
  withFields,
} from './drafts.ts';
import { dropCase, groupCase, type Input, passCase } from './inputs.ts';

const CID_BYTES = 36;
const PLC_ID = 'z72i7hdynmk6r22z27h6tvur';

/** A draft of one created record, its message with other fields. */
function draftWith(fields: Fields): Input {
  return ({ repo }) => withFields(oneDraft(repo).parts, fields);
}

/** The account's own sync with other fields. */
function ownSyncWith(fields: Fields): Input {
  return ({ repo }) => syncWith(repo.fork().sync(), fields);
}

function entriesOf<Key>(
  keys: readonly Key[],
  name: (key: Key) => string,
  input: (key: Key) => Input,
): Record<string, Input> {
  return Object.fromEntries(keys.map((key) => [name(key), input(key)]));
}

const COMMIT_FIELDS = ['repo', 'rev', 'commit', 'blocks', 'ops'] as const;
const SYNC_FIELDS = ['did', 'rev', 'blocks'] as const;
const WRONG_TYPE: Value = 42;

const missing: Record<string, Input> = {
  ...entriesOf(
    COMMIT_FIELDS,
    (name) => `#commit without ${name}`,
    (name) => draftWith({ [name]: undefined }),
  ),
  ...entriesOf(
    SYNC_FIELDS,
    (name) => `#sync without ${name}`,
    (name) => ownSyncWith({ [name]: undefined }),
  ),
};
const wrongType: Record<string, Input> = {
  ...entriesOf(
    COMMIT_FIELDS,
    (name) => `${name} of a #commit a number`,
    (name) => draftWith({ [name]: WRONG_TYPE }),
  ),
  ...entriesOf(
    SYNC_FIELDS,
    (name) => `${name} of a #sync a number`,
    (name) => ownSyncWith({ [name]: WRONG_TYPE }),
  ),
};

/** The account's next commit, made, with other fields; it goes out as the commit it means. */
function mended(fields: Fields, meant: { readonly since?: null } = {}): Input {
  return ({ repo }) => {
    const { parts } = committed(repo, [create(newPath())]);
    return { sent: withFields(parts, fields), received: message({ ...parts, ...meant }) };
  };
}

/**
 * The messages of an account of its own under a DID, right in all but that: its directory entry,
 * key and signatures. Nothing but the DID's form is in the way.
 */
function accountOf(did: string): Input {
  return ({ directory, host }) => {
    const repo = new SignedRepo({ did, seed: did });
    directory.set(did, repo.keypair, host.origin, 'nobody.test');
    const parts = repo.commit([create(newPath())], { epochMs: Date.now() });
    return message(parts);
  };
}

function identityOf(did: string): Input {
  return () => (stamp) => identityFrame({ did }, stamp);
}

function dids(list: readonly string[]): Record<string, Input> {
  return {
    ...entriesOf(list, (did) => `#commit of ${did.slice(0, 60)}`, accountOf),
    ...entriesOf(list, (did) => `#identity of ${did.slice(0, 60)}`, identityOf),
  };
}

/** A commit whose object says the same `rev` as the message. */
function revIs(rev: string): Input {
  return ({ repo }) => forged(oneDraft(repo), { fields: { rev }, outer: { rev } });
}

const BAD_REVS = ['3lmxjza3nva00', '3lmxjza3nva2', '3LMXJZA3NVA27', 'klmxjza3nva27'];
const BAD_TIMES = ['yesterday', '2026-11-21T23:29:14.716-00:00', '2026-11-21t23:29:14.716Z'];

/** So many creates in one commit. */
function creates(count: number): Parameters<typeof draft>[1] {
  return Array.from({ length: count }, () => create(newPath()));
}

/** The CAR with one more block, nobody's, that makes it exactly so long. */
export function padded(car: Buffer, carBytes: number): Buffer {
  const spare = carBytes - car.length;
  const bytes = Buffer.alloc(spare - varint(spare).length - CID_BYTES, 0x61);
  const cid = Buffer.from(cidOf(bytes), 'latin1');
  return Buffer.concat([car, varint(cid.length + bytes.length), cid, bytes]);
}

/** A record of exactly so many bytes. */
function recordOf(bytes: number): Buffer {
  // The head of a long text takes four bytes more than that of an empty one.
  const text = 'x'.repeat(bytes - newRecord('').length - 4);
  const record = newRecord(text);
  const over = record.length - bytes;
  return over === 0 ? record : encodePost(text.slice(over), '2026-11-21T23:29:14.716Z');
}

/** The account's sync with a CAR of exactly so many bytes. */
function syncOf(carBytes: number): Input {
  return ({ repo }) => {
    const sync = repo.sync();
    return syncMessage({ ...sync, blocks: padded(sync.blocks, carBytes) });
  };
}

const LONG_KEY = 'k'.repeat(513);
const BAD_PATHS = [
  'foo',
  '/a.b.c/x',
  'a.b.c/x/y',
  'a.b.c/',
  'a.b.c/..',
  'a b/x',
  'a.b/x',
  `a.b.c/${LONG_KEY}`,
  'é',
  'a.b.c/é',
];

/** A draft whose one operation is changed in the message. */
function opOf(from: (repo: SignedRepo) => Draft, fields: Fields): Input {
  return ({ repo }) => {
    const { parts } = from(repo);
    const [op] = parts.ops as [RepoOp];
    return withFields(parts, { ops: [{ ...opFields(op), ...fields } as Value] });
  };
}

const anUpdate = (repo: SignedRepo): Draft =>
  draft(repo, [{ action: 'update', path: repo.paths[0] ?? '', record: newRecord() }]);
const aDelete = (repo: SignedRepo): Draft =>
  draft(repo, [{ action: 'delete', path: repo.paths[0] ?? '' }]);

export const FIELDS: readonly VerdictCase[] = [
  groupCase(
    {
      id: 'H42',
      input: '`repo`, `did`, `rev`, `commit`, `blocks` or `ops` missing; one of them a number',
      specVerdict: 'DROP(schema)',
      rules: '§2 message schemas',
    },
    [
      { expected: 'DROP wire_field_missing', label: 'missing', inputs: missing },
      { expected: 'DROP wire_field_bad', label: 'a number', inputs: wrongType },
    ],
  ),
  groupCase(
    {
      id: 'H43',
      input: '`blobs` null, missing or with old content, `rebase` missing; `since` missing',
      specVerdict: 'PASS*',
      rules: 'CH-3, CH-7, A15, A50',
    },
    [
      {
        expected: 'PASS changed',
        label: 'blobs, rebase',
        inputs: {
          'blobs null': mended({ blobs: null }),
          'blobs missing': mended({ blobs: undefined }),
          'blobs not empty': mended({ blobs: [linkTo(cidOf(newRecord()))] }),
          'rebase missing': mended({ rebase: undefined }),
        },
      },
      {
        expected: 'PASS changed and counted',
        label: 'since: discontinuous',
        inputs: {
          'since missing': mended({ since: undefined }, { since: null }),
          'since null': mended({ since: null, blobs: undefined }, { since: null }),
        },
      },
    ],
  ),
  passCase({
    id: 'H44',
    input: '`tooBig` or `rebase` true, otherwise valid',
    specVerdict: 'PASS*',
    rules: 'CH-7, A16, A17',
    inputs: {
      tooBig: mended({ tooBig: true }),
      rebase: mended({ rebase: true }),
      both: mended({ tooBig: true, rebase: true }),
    },
  }),
  dropCase({
    id: 'H45',
    input: 'a DID as `DID:plc:…`, `did:METHOD:…`, with `:`, `/`, `?` or `#` at its end',
    specVerdict: 'DROP(did-syntax)',
    rules: 'DD-1, DD-5',
    code: 'did_syntax_bad',
    inputs: dids([
      `DID:plc:${PLC_ID}`,
      `did:PLC:${PLC_ID}`,
      'did:METHOD:abc',
      ...[':', '/', '?', '#'].map((end) => `did:plc:${PLC_ID}${end}`),
      ...['/x', '?x', '#x'].map((end) => `did:web:pds.example.com${end}`),
    ]),
  }),
  dropCase({
    id: 'H46',
    input: 'a did:plc in upper case, of 23 or 25 characters, or with one of 0, 1, 8, 9',
    specVerdict: 'DROP(did-case/did-syntax)',
    rules: 'DD-3, DD-5',
    code: 'did_syntax_bad',
    inputs: dids([
      `did:plc:${PLC_ID.toUpperCase()}`,
      `did:plc:Z${PLC_ID.slice(1)}`,
      `did:plc:${PLC_ID.slice(1)}`,
      `did:plc:${PLC_ID}a`,
      ...[...'0189'].map((digit) => `did:plc:${PLC_ID.slice(1)}${digit}`),
    ]),
  }),
  dropCase({
    id: 'H47',
    input: 'a DID of 2049 characters',
    specVerdict: 'DROP(did-syntax)',
    rules: 'DD-1, LM-6',
    code: 'did_syntax_bad',
    inputs: dids([`did:web:${'a'.repeat(2037)}.com`]),
  }),
  dropCase({
    id: 'H48',
    input: 'did:key and did:ethr',
    specVerdict: 'DROP(did-method)',
    rules: 'DD-2',
    code: 'did_method_unsupported',
    inputs: dids([
      'did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF',
      'did:ethr:0xb9c5714089478a327f09197987f16f9e5d936e8a',
    ]),
  }),
  dropCase({
    id: 'H49',
    input: 'did:web with a path, a port, below .local, .arpa or .onion, or a bare IP address',
    specVerdict: 'DROP(did-web)',
    rules: 'DD-4',
    code: 'did_method_unsupported',
    inputs: dids([
      'did:web:pds.example.com:alice',
      'did:web:pds.example.com%3A8443',
      'did:web:pds.local',
      'did:web:1.0.0.10.in-addr.arpa',
      'did:web:pds.onion',
      'did:web:192.0.2.1',
      'did:web:127.0.0.1',
    ]),
  }),
  dropCase({
    id: 'H50',
    input: 'a `rev` that is no TID: `3lmxjza3nva00`, 12 characters, upper case, first a `k`',
    specVerdict: 'DROP(rev-syntax)',
    rules: 'CM-6',
    code: 'commit_rev_bad',
    inputs: {
      ...entriesOf(BAD_REVS, (rev) => `#commit ${rev}`, revIs),
      ...entriesOf(
        BAD_REVS,
        (rev) => `#sync ${rev}`,
        (rev) => ownSyncWith({ rev }),
      ),
    },
  }),
  dropCase({
    id: 'H51',
    input: '`time` is "yesterday", has the zone -00:00, or a lower-case t (#commit, #sync)',
    specVerdict: 'DROP(time)',
    rules: 'A38',
    code: 'wire_time_bad',
    inputs: {
      ...entriesOf(
        BAD_TIMES,
        (time) => `#commit ${time}`,
        (time) => draftWith({ time }),
      ),
      ...entriesOf(
        BAD_TIMES,
        (time) => `#sync ${time}`,
        (time) => ownSyncWith({ time }),
      ),
    },
  }),
  dropCase({
    id: 'H52',
    input: '201 operations; 200 pass',
    specVerdict: 'DROP(too-many-ops) / PASS',
    rules: 'LM-5',
    code: 'commit_ops_too_many',
    inputs: { '201': ({ repo }) => message(draft(repo, creates(201)).parts) },
    passes: { '200': ({ repo }) => message(committed(repo, creates(200)).parts) },
  }),
  dropCase({
    id: 'H53',
    input: '`blocks` of 2,000,001 bytes; 2,000,000 pass',
    specVerdict: 'DROP(blocks-size) / PASS',
    rules: 'LM-2',
    code: 'commit_blocks_too_large',
    inputs: {
      '2,000,001': ({ repo }) => forged(oneDraft(repo), { car: (car) => padded(car, 2_000_001) }),
    },
    passes: {
      '2,000,000': ({ repo }) => {
        const made = committed(repo, [create(newPath())]);
        return forged(made, { car: (car) => padded(car, 2_000_000) });
      },
    },
  }),
  dropCase({
    id: 'H54',
    input: '`blocks` empty',
    specVerdict: 'DROP(no-blocks)',
    rules: 'CA-2',
    code: 'commit_blocks_empty',
    inputs: {
      '#commit': draftWith({ blocks: Buffer.alloc(0) }),
      '#sync': ownSyncWith({ blocks: Buffer.alloc(0) }),
    },
  }),
  dropCase({
    id: 'H55',
    input: '`blocks` of a #sync with 10,001 bytes; 10,000 pass',
    specVerdict: 'DROP(blocks-size)',
    rules: 'LM-3, A19',
    code: 'commit_blocks_too_large',
    inputs: { '10,001': syncOf(10_001) },
    passes: { '10,000': syncOf(10_000) },
  }),
  dropCase({
    id: 'H56',
    input: 'a record of 1,000,001 bytes in `blocks` under 2 MB; 1,000,000 pass',
    specVerdict: 'DROP(record-size)',
    rules: 'LM-4, A32',
    code: 'commit_record_too_large',
    inputs: {
      '1,000,001': ({ repo }) => forged(draft(repo, [create(newPath(), recordOf(1_000_001))])),
    },
    passes: {
      '1,000,000': ({ repo }) => forged(committed(repo, [create(newPath(), recordOf(1_000_000))])),
    },
  }),
  dropCase({
    id: 'H57',
    input:
      'a path `foo`, `/a.b.c/x`, `a.b.c/x/y`, `a.b.c/`, `a.b.c/..`, `a b/x`, `a.b/x`, `é`, ' +
      '`a.b.c/é`, or a record key of 513 characters',
    specVerdict: 'DROP(path)',
    rules: 'MS-8, LM-7',
    code: 'commit_path_bad',
    inputs: entriesOf(
      BAD_PATHS,
      (path) => path.slice(0, 20),
      (path) =>
        ({ repo }) =>
          message(draft(repo, [create(path)]).parts),
    ),
  }),
  passCase({
    id: 'H58',
    input: 'a path with `:` in its record key',
    specVerdict: 'PASS',
    rules: 'MS-8, A33',
    inputs: {
      'a colon': ({ repo }) => message(committed(repo, [create('a.b.c/x:y')]).parts),
      'only colons': ({ repo }) => message(committed(repo, [create('a.b.c/::')]).parts),
    },
  }),
  dropCase({
    id: 'H59',
    input: 'an operation with the action "move"',
    specVerdict: 'DROP(op)',
    rules: '§1.10 step 1',
    code: 'commit_op_bad',
    inputs: {
      'of a create': opOf(oneDraft, { action: 'move' }),
      'of an update': opOf(anUpdate, { action: 'move' }),
      'of a delete': opOf(aDelete, { action: 'move' }),
    },
  }),
  dropCase({
    id: 'H60',
    input:
      'a create with `cid` null, a delete with a `cid`, an update or delete without `prev`, ' +
      'a create with `prev`',
    specVerdict: 'DROP(op)',
    rules: '§1.10 step 1, A35',
    code: 'commit_op_bad',
    inputs: {
      'create, cid null': opOf(oneDraft, { cid: null }),
      'create without cid': opOf(oneDraft, { cid: undefined }),
      'update, cid null': opOf(anUpdate, { cid: null }),
      'delete with cid': opOf(aDelete, { cid: linkTo(cidOf(newRecord())) }),
      'update without prev': opOf(anUpdate, { prev: undefined }),
      'delete without prev': opOf(aDelete, { prev: undefined }),
      'create with prev': opOf(oneDraft, { prev: linkTo(cidOf(newRecord())) }),
    },
  }),
  dropCase({
    id: 'H61',
    input: 'a path twice in `ops`',
    specVerdict: 'DROP(dup-op)',
    rules: '§1.10 step 1, A9',
    code: 'commit_op_duplicate',
    inputs: {
      'the same create twice': ({ repo }) => {
        const { parts } = oneDraft(repo);
        return message({ ...parts, ops: [...parts.ops, ...parts.ops] });
      },
      'delete and create': ({ repo }) => {
        const path = repo.paths[0] ?? '';
        const { parts } = draft(repo, [{ action: 'update', path, record: newRecord() }]);
        const [op] = parts.ops as [RepoOp & { prev: string }];
        const gone: RepoOp = { action: 'delete', path, cid: null, prev: op.prev };
        return message({ ...parts, ops: [gone, { action: 'create', path, cid: op.cid }] });
      },
    },
  }),
];
