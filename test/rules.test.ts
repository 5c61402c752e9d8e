/**
 * The rules of the protocol that concern a relay, by the ids that comments, tests and
 * docs/VERDICTS.md quote. Each is named in the title of a test that holds it. A rule that asks
 * nothing of a relay which a test could see says why.
 */
import { globSync, readFileSync } from 'node:fs';
import t from 'tap';
import { titlesOf } from './helpers/test-titles.ts';

/** Marks a rule without a test. */
const NOTHING = 'nothing to test: ';

const RULES: Readonly<Record<string, string>> = {
  // Transport and framing
  'FR-1': 'hosts are reached over TLS; plain sockets are for tests',
  'FR-2': 'what is wrong before the upgrade is an HTTP status with an error body',
  'FR-3': 'what is wrong with a new stream is said in its first frame, then it is closed',
  'FR-4': 'a message is one binary websocket message of exactly two objects',
  'FR-5': 'the header has `op`, and `t` where op is 1',
  'FR-6': 'kinds and fields that are not known are no error',
  'FR-7': 'broken framing or encoding is a hard error',
  'FR-8': 'what a consumer sends is ignored',
  'FR-9': 'an error frame names its error, and is the last one',
  'FR-10': 'a payload is a map',
  'FR-11': 'a message has at most 5,000,000 bytes',
  'FR-12': 'a silent connection may be dropped',
  'FR-13': 'connections and buffers are limited',
  'FR-14': 'what goes out is canonical, its keys in their order',
  'FR-15': 'a sub-protocol is selected only if it is spoken',
  'FR-16': 'the websocket library is told the size limit, and what to answer to plain requests',
  // Sequence numbers and cursors
  'SQ-1': 'a seq is in 1 … 2^53-1 and goes up; gaps are allowed',
  'SQ-2': 'info and error frames have no seq and are not kept',
  'SQ-3': 'a relay numbers anew',
  'SQ-4': 'a seq is durable before anybody sees it',
  'SQ-5': 'no cursor: from the present end',
  'SQ-6': 'a cursor beyond the end is FutureCursor',
  'SQ-7': 'a cursor in the window: all behind it, then live',
  'SQ-8': 'a cursor before the window: OutdatedCursor, then the whole window',
  'SQ-9': 'cursor 0: the whole window, without a word',
  'SQ-10': 'numbers that must begin anew do so far above all that were used',
  'SQ-11': 'a host seq that repeats or goes back is not processed',
  'SQ-12': 'FutureCursor of a host does not make us forget the cursor',
  'SQ-13': 'the cursor that is kept is that of what was processed, not of what came in',
  'SQ-14': 'accounts side by side, one account in order',
  'SQ-15': 'who is too slow may be told so, and ended',
  'SQ-16': 'a new host is asked without a cursor, a known one from the last',
  // Limits
  'LM-1': 'a message of ours has at most 5,000,000 bytes, too',
  'LM-2': '`blocks` of a commit: 2,000,000 bytes',
  'LM-3': '`blocks` of a sync: 10,000 bytes',
  'LM-4': 'a record: 1,000,000 bytes',
  'LM-5': '200 operations',
  'LM-6': 'a DID: 2048 characters',
  'LM-7': 'lengths of NSIDs and record keys',
  'LM-8': 'a key of the tree: 1 … 1024 bytes',
  'LM-9': 'entries of a node and depth of a tree are bounded',
  'LM-10': 'depth, items and memory of a decoder are bounded',
  'LM-11': 'rates of hosts, accounts and look-ups are bounded',
  'LM-12': 'limits of a host follow the known formulae',
  // Encoding
  'CB-1': 'only the eight kinds of item, and of the simple ones three',
  'CB-2': 'shortest heads, definite lengths',
  'CB-3': 'map keys are texts, once each, in order',
  'CB-4': 'no empty key',
  'CB-5': 'no tag but 42',
  'CB-6': 'no floats',
  'CB-7': 'integers of 53 bits',
  'CB-8': 'texts are UTF-8, as they are',
  'CB-9': 'nothing behind the one object',
  'CB-10': 'null is not absent',
  'CB-11': 'a decoder that bounds what it does',
  'CB-12': 'keys that begin with $ are kept and ignored',
  'CB-13': 'what known decoders do wrong, ours does not: keys like __proto__ stay',
  // CIDs
  'CD-1': 'version 1, two codecs, SHA-256: 36 bytes',
  'CD-2': 'a link is tag 42 over a zero byte and the CID',
  'CD-3': 'as text: base32 with a b before it',
  'CD-4': 'links of commits and nodes are strict',
  'CD-5': 'links to records are less so, links in records are nobody’s business',
  'CD-6': 'blobs are not ours: the list goes out empty',
  // CAR
  'CA-1': 'length, header, then length, CID and bytes of each block',
  'CA-2': 'the first root is the commit, and it is there',
  'CA-3': 'order, repeats and spare blocks do not matter, up to a number of them',
  'CA-4': 'blocks match their CIDs',
  'CA-5': 'a diff has the commit, the proof and the new records',
  'CA-6': 'a sync has its commit block',
  // Commit object
  'CM-1': 'fields of version 3, all there, of their types',
  'CM-2': 'signed is the object without its signature',
  'CM-3': 'the signed bytes are the block’s own',
  'CM-4': 'the current key signs; a commit may change nothing but that',
  'CM-5': 'the message says the same as its commit',
  'CM-6': 'a rev is a TID',
  'CM-7': 'a rev may be as old as it likes',
  // Signatures
  'SG-1': 'two curves',
  'SG-2': '64 bytes, r and s',
  'SG-3': 'low S on both',
  'SG-4': 'low S is checked by ourselves: the library does not',
  'SG-5': 'the first valid #atproto key of the document',
  'SG-6': 'old forms of keys, compressed or not',
  'SG-7': 'one look-up more for a signature that does not fit',
  // Tree
  'MS-1': 'the layer of a key is half its leading zero bits',
  'MS-2': 'the shape of a node',
  'MS-3': 'prefixes are as long as they can be',
  'MS-4': 'keys ascend, over all nodes',
  'MS-5': 'a key stands on its layer, a child one below',
  'MS-6': 'the empty tree; no other empty node, no root without a key',
  'MS-7': 'order and depth are checked on the way',
  'MS-8': 'a path is an NSID, a slash and a record key',
  // Inversion
  'step 1': 'operations have their shape, each path once',
  'step 2': 'without operations the tree stays',
  'step 3': 'the partial tree is loaded from the top, and is a tree',
  'step 4': 'the tree shows each operation, and the record is there',
  'step 5': 'the order of the operations does not matter',
  'step 6': 'a delete is undone by insertion',
  'step 7': 'an update by the value before',
  'step 8': 'a create by removal',
  'step 9': 'the top is trimmed; what is left is prevData',
  'step 10': 'then it is compared with what is known',
  // Chain
  'CH-1': 'a rev that is not above the last one is ignored',
  'CH-2': 'a rev far ahead of the clock is refused',
  'CH-3': 'since and prevData that do not chain are noticed',
  'CH-4': 'and passed on, counted, up to a limit',
  'CH-5': 'prevData may be missing in the first commit only',
  'CH-6': 'rev, commit and root are kept of each account',
  'CH-7': 'deprecated fields are ignored and go out as they should be',
  'CH-8': 'desynchronized and throttled explain, they do not hide',
  // #sync
  'SY-1': 'signature, DID and rev, no operations',
  'SY-2': 'an old one is ignored, a known one changes nothing, a new one is the state',
  'SY-3': 'hosts send one of the same rev behind a commit',
  'SY-4': `${NOTHING}a relay may send some of its own, and this one does not`,
  // #identity
  'ID-1': 'look again',
  'ID-2': 'the handle may be left out',
  'ID-3': 'handles are not resolved',
  'ID-4': 'it may come from anybody',
  'ID-5': 'and be of an account that is inactive',
  // #account
  'AC-1': 'its fields',
  'AC-2': '`active` decides, `status` explains, and is an open set',
  'AC-3': 'a relay says what holds at the relay',
  'AC-4': 'who wins when host and relay differ',
  'AC-5': 'content of inactive accounts is not passed on',
  'AC-6': 'what is decided here is said',
  'AC-7': 'a host that is not there changes no account',
  'AC-8': 'a tombstone means deleted',
  'AC-9': 'only the declared host counts',
  'AC-10': 'it can be undone by that host',
  'AC-11': 'who is gone is not served any more',
  'AC-12': 'in doubt the host is asked',
  'AC-13': 'inactive without a status is fine',
  'AC-14': 'how often it may change is bounded, by the rate of its host',
  // Hosts and documents
  'HO-1': 'content from another host than the declared one is refused',
  'HO-2': 'the first valid PDS entry of the document',
  'HO-3': 'without a working identity nothing passes',
  'HO-4': 'one look-up more before a host is refused',
  'HO-5': 'who moved is not the old host’s any more',
  'DD-1': 'syntax of DIDs',
  'DD-2': 'two methods',
  'DD-3': 'did:plc to the letter',
  'DD-4': 'did:web is a public host name',
  'DD-5': 'no case is folded',
  'DD-6': 'a document is for the DID that was asked for',
  'DD-7': 'found, unknown, tombstoned',
  'DD-8': 'nobody is led to an address inside',
};
const FAMILY = /\b(?:FR|SQ|LM|CB|CD|CA|CM|SG|MS|CH|SY|ID|AC|HO|DD)-\d+\b/g;

const isOther = (path: string): boolean => !path.endsWith('rules.test.ts');
const files = globSync('test/**/*.test.ts', {
  exclude: (name) => name.endsWith('node_modules'),
}).filter(isOther);
const titles = files.flatMap((path) => titlesOf(readFileSync(path, 'utf8')));
const isNamed = (id: string): boolean => titles.some((title) => isIn(id, title));

function isIn(id: string, title: string): boolean {
  return new RegExp(`\\b${id}\\b`).test(title);
}

t.test('each rule is in the title of a test', async (t) => {
  t.ok(titles.length > 1000, `${titles.length} titles were read`);
  const missing = Object.entries(RULES).filter(
    ([id, words]) => !words.startsWith(NOTHING) && !isNamed(id),
  );
  t.same(missing, []);
});

t.test('a rule of which nothing is to be tested says why, and has no test', async (t) => {
  for (const [id, words] of Object.entries(RULES)) {
    if (!words.startsWith(NOTHING)) continue;
    t.ok(words.length > NOTHING.length + 20, id);
    t.notOk(isNamed(id), id);
  }
});

t.test('no title names a rule that there is not', async (t) => {
  const named = new Set(titles.flatMap((title) => title.match(FAMILY) ?? []));
  t.same(
    [...named].filter((id) => !Object.hasOwn(RULES, id)),
    [],
  );
});

t.test('one id is not found in another', async (t) => {
  t.ok(isIn('CB-1', 'CB-1, H2: x'));
  t.notOk(isIn('CB-1', 'CB-13: x'));
  t.notOk(isIn('step 1', 'step 10: x'));
  t.same(titlesOf("t.test('CB-1: a', x); t.test(`G1: b`, y)"), ['CB-1: a', 'G1: b']);
  t.same(titlesOf("const R = [['AC-1: row', 1]];"), [], 'a table is no test');
  t.same(titlesOf("const R = [['AC-1: row', 1]];\nt.test(name, z)"), ['AC-1: row']);
});
