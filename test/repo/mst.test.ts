/** Structure of the partial tree (spec §1.9, §1.10 step 3). Most of these invert all right. */
import t from 'tap';
import { CarIndex } from '../../lib/repo/car.ts';
import { keyHeight } from '../../lib/repo/key-height.ts';
import { LAYER_MAX, PartialTree, TREE_BYTES_MAX } from '../../lib/repo/mst.ts';
import { KEY_BYTES_MAX, NODE_ENTRIES_MAX } from '../../lib/repo/mst-node.ts';
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { EMPTY_TREE, layerOf, putLeaf, TreeNode } from '../../scripts/fleet/repo-tree.ts';
import { type Block, encodeCar, encodeCommit } from '../../scripts/fleet/signed-repo.ts';
import { interopJson, interopLines } from './interop.ts';
import {
  blockOf,
  keyAfter,
  keyOf,
  loadVerdict,
  nodeBlock,
  type RawEntry,
  rawNode,
  someCid,
} from './tree-kit.ts';

const V = someCid('record');
const K0 = keyOf(0, 0);
const K0B = keyAfter(K0, 0);

/** Suffix and prefix length of a key after another, as they should be. */
function after(previous: string, key: string): { k: string; p: number } {
  let p = 0;
  while (previous[p] === key[p]) p++;
  return { k: key.slice(p), p };
}

function verdictOf(root: Block, ...others: Block[]): string {
  return loadVerdict(root.cid, [root, ...others]);
}

function heightOf(key: string): number {
  const bytes = Buffer.from(key, 'latin1');
  return keyHeight(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
}

t.test('MS-1: key heights of the interop vectors and of the spec sheet', async (t) => {
  type Row = { readonly key: string; readonly height: number };
  const rows = interopJson<Row[]>('mst/key_heights.json');
  const more = { key1: 0, key7: 1, key515: 4 };
  for (const [key, height] of Object.entries(more)) rows.push({ key, height });
  for (const { key, height } of rows) {
    t.equal(heightOf(key), height, key);
    t.equal(layerOf(key), height, `${key} in the fleet`);
  }
  for (const key of interopLines('mst/example_keys.txt')) {
    t.equal(heightOf(key), Number(key.charAt(1)), key);
  }
});

t.test('MS-6: the empty tree, and whole trees of all shapes', async (t) => {
  t.equal(verdictOf(nodeBlock(EMPTY_TREE)), 'ok');
  let tree = EMPTY_TREE;
  for (const key of interopLines('mst/example_keys.txt')) {
    tree = putLeaf(tree, key, V);
    const nodes: Block[] = [];
    const walk = (node: TreeNode): void => {
      nodes.push(nodeBlock(node));
      for (const item of node.items) if (item instanceof TreeNode) walk(item);
    };
    walk(tree);
    t.equal(loadVerdict(tree.cid, nodes), 'ok');
    t.equal(loadVerdict(tree.cid, nodes.slice(0, 1)), 'ok', 'the others as stubs');
  }
});

t.test('MS-3: common prefixes of the interop vectors are what the builder writes', async (t) => {
  type Row = { readonly left: string; readonly right: string; readonly len: number };
  for (const { left, right, len } of interopJson<Row[]>('mst/common_prefix.json')) {
    if (left === '' || right === '' || left === right) continue;
    const [a, b] = left < right ? [left, right] : [right, left];
    const node = new TreeNode(0, [
      { key: a, value: V },
      { key: b, value: V },
    ]).encode();
    t.ok(
      node.includes(Buffer.from(`\x61p${String.fromCharCode(len)}\x61t`, 'latin1')),
      `${a} ${b}`,
    );
  }
});

t.test('step 3, H94: the root node is missing', async (t) => {
  t.equal(loadVerdict(someCid('root'), []), 'commit_block_missing');
});

t.test('MS-5, step 3, H103: a key in a node of another layer', async (t) => {
  const low = keyAfter(keyOf(1, 0), 0);
  const keys = [keyOf(1, 0), low];
  const entries = keys.map((key, i): RawEntry => ({ ...after(keys[i - 1] ?? '', key), v: V }));
  t.equal(verdictOf(rawNode(entries)), 'commit_mst_bad', 'below the root layer');
  const child = rawNode([{ k: keyOf(1, 0), v: V }]);
  const top = keyAfter(keyOf(1, 0), 2);
  t.equal(verdictOf(rawNode([{ k: top, v: V }], child.cid), child), 'ok');
  const wrong = rawNode([{ k: K0, v: V }]);
  t.equal(verdictOf(rawNode([{ k: top, v: V }], wrong.cid), wrong), 'commit_mst_bad', 'in a child');
});

t.test('MS-4, MS-7, H104: keys out of order in a node', async (t) => {
  const entries = [
    { k: K0B, v: V },
    { ...after(K0B, K0), v: V },
  ];
  t.equal(verdictOf(rawNode(entries)), 'commit_mst_bad');
  const prefix = [
    { k: 'a.b.c/x1', v: V },
    { k: '', p: 7, v: V },
  ];
  t.equal(
    verdictOf(rawNode(prefix)),
    'commit_mst_bad',
    'a key that is the start of the one before',
  );
});

t.test('MS-4, MS-7, H104: keys out of order across nodes', async (t) => {
  const low = keyOf(0, 0);
  const top = keyAfter(low, 1);
  const high = keyAfter(top, 0);
  const right = rawNode([{ k: high, v: V }]);
  const left = rawNode([{ k: low, v: V }]);
  const good = rawNode([{ k: top, t: right.cid, v: V }], left.cid);
  t.equal(verdictOf(good, left, right), 'ok');
  const swapped = rawNode([{ k: top, t: left.cid, v: V }], right.cid);
  t.equal(verdictOf(swapped, left, right), 'commit_mst_bad');
  t.equal(verdictOf(swapped, left), 'commit_mst_bad', 'right child alone, before its neighbour');
  t.equal(verdictOf(swapped, right), 'commit_mst_bad', 'left child alone, after its neighbour');
});

t.test('H104: a key of a subtree beyond the next key of a node further up', async (t) => {
  const top = keyOf(2, 0);
  const beyond = keyAfter(top, 0);
  const bottom = rawNode([{ k: beyond, v: V }]);
  const middle = rawNode([], bottom.cid);
  t.equal(verdictOf(rawNode([{ k: top, v: V }], middle.cid), middle, bottom), 'commit_mst_bad');
});

t.test('MS-4, H105: a key twice in a node', async (t) => {
  const twice = [
    { k: K0, v: V },
    { k: '', p: K0.length, v: V },
  ];
  t.equal(verdictOf(rawNode(twice)), 'commit_mst_bad');
});

t.test('MS-6, H106: a leafless root', async (t) => {
  const child = rawNode([{ k: K0, v: V }]);
  t.equal(verdictOf(child), 'ok');
  t.equal(verdictOf(rawNode([], child.cid), child), 'commit_mst_bad');
  t.equal(verdictOf(rawNode([], child.cid)), 'commit_mst_bad', 'its child a stub');
});

t.test('MS-6, H107: an empty node as a child', async (t) => {
  const empty = nodeBlock(EMPTY_TREE);
  t.equal(verdictOf(rawNode([{ k: keyOf(1, 0), v: V }], empty.cid), empty), 'commit_mst_bad');
});

t.test('MS-3, H108: prefix lengths', async (t) => {
  const second = after(K0, K0B);
  t.equal(
    verdictOf(
      rawNode([
        { k: K0, v: V },
        { ...second, v: V },
      ]),
    ),
    'ok',
  );
  t.equal(verdictOf(rawNode([{ k: K0, p: 3, v: V }])), 'commit_mst_bad', 'first entry not 0');
  for (const p of [K0.length + 1, -1, 2 ** 40, 2 ** 31, 2 ** 32 + second.p]) {
    const root = rawNode([
      { k: K0, v: V },
      { ...second, p, v: V },
    ]);
    t.equal(verdictOf(root), 'commit_mst_bad', `p = ${p}`);
  }
});

t.test('H108: a prefix that goes on into the bytes behind the key before', async (t) => {
  // Behind the first suffix stands `61 70 00`, so the key would be K0, `a` and what follows.
  const p = K0.length + 1;
  for (let n = 0; n < 40; n++) {
    const k = `x${n}`;
    if (layerOf(`${K0}a${k}`) !== 0) continue;
    t.equal(
      verdictOf(
        rawNode([
          { k: K0, v: V },
          { k, p, v: V },
        ]),
      ),
      'commit_mst_bad',
      k,
    );
  }
});

t.test('MS-3, H109: a prefix that is not the longest', async (t) => {
  const { k, p } = after(K0, K0B);
  const shorter = { k: K0B.slice(p - 1), p: p - 1, v: V };
  t.equal(verdictOf(rawNode([{ k: K0, v: V }, shorter])), 'commit_mst_bad', k);
  t.equal(
    verdictOf(
      rawNode([
        { k: K0, v: V },
        { k: K0B, v: V },
      ]),
    ),
    'commit_mst_bad',
    'none at all',
  );
});

t.test('LM-8, MS-8, H110: keys that are no paths', async (t) => {
  const layer0 = (make: (n: number) => string): string => {
    for (let n = 0; ; n++) if (heightOf(make(n)) === 0) return make(n);
  };
  const long = (bytes: number): string => layer0((n) => `a.b.c/${n}`.padEnd(bytes, 'x'));
  t.equal(verdictOf(rawNode([{ k: long(KEY_BYTES_MAX), v: V }])), 'ok', '1024 bytes');
  const bad = {
    '1025 bytes': long(KEY_BYTES_MAX + 1),
    empty: '',
    'no slash': layer0((n) => `abc${n}`),
    'two slashes': layer0((n) => `a/b/${n}`),
    'slash first': layer0((n) => `/${n}`),
    'slash last': layer0((n) => `${n}/`),
    'not ASCII': layer0((n) => `a.b.c/\xc3\xa9${n}`),
    'not UTF-8': layer0((n) => `a.b.c/\xff${n}`),
    NUL: layer0((n) => `a.b.c/\0${n}`),
    space: layer0((n) => `a b/${n}`),
  };
  for (const [name, k] of Object.entries(bad))
    t.equal(verdictOf(rawNode([{ k, v: V }])), 'commit_mst_bad', name);
  const start = long(KEY_BYTES_MAX - 24);
  const next = (bytes: number): string => {
    return layer0((n) => `${start}${n}`.padEnd(bytes, 'x'));
  };
  for (const [bytes, verdict] of [
    [KEY_BYTES_MAX, 'ok'],
    [KEY_BYTES_MAX + 1, 'commit_mst_bad'],
  ] as const) {
    const entries = [
      { k: start, v: V },
      { ...after(start, next(bytes)), v: V },
    ];
    t.equal(verdictOf(rawNode(entries)), verdict, `${bytes} bytes, most of them shared`);
  }
});

t.test('H110: the slash of a key may be in its prefix or in its suffix, once', async (t) => {
  const layer0After = (start: string, low: string): string => {
    for (let n = 0; ; n++)
      if (`${start}${n}` > low && layerOf(`${start}${n}`) === 0) return `${start}${n}`;
  };
  const a = layer0After('a.b.c/', '');
  const b = layer0After('a.b.d/', a);
  t.equal(
    verdictOf(
      rawNode([
        { k: a, v: V },
        { ...after(a, b), v: V },
      ]),
    ),
    'ok',
    'in the suffix',
  );
  const c = layer0After('a.b.c/x/', a);
  t.equal(
    verdictOf(
      rawNode([
        { k: a, v: V },
        { ...after(a, c), v: V },
      ]),
    ),
    'commit_mst_bad',
    'both',
  );
  const d = layer0After('a.b.cx', a);
  t.equal(
    verdictOf(
      rawNode([
        { k: a, v: V },
        { ...after(a, d), v: V },
      ]),
    ),
    'commit_mst_bad',
    'none',
  );
  const e = layer0After('a.b.c/y', '');
  const last = rawNode([
    { k: a, v: V },
    { ...after(a, b), v: V },
    { ...after(b, e), v: V },
  ]);
  t.equal(verdictOf(last), 'commit_mst_bad', 'out of order after a longer one');
});

t.test('MS-5, H111: a link at layer 0; a child that skips a layer', async (t) => {
  const stub = someCid('child');
  t.equal(verdictOf(rawNode([{ k: K0, v: V }], stub)), 'commit_mst_bad', 'left, a stub');
  t.equal(verdictOf(rawNode([{ k: K0, t: stub, v: V }])), 'commit_mst_bad', 'right, a stub');
  const child = rawNode([{ k: K0, v: V }]);
  const top = keyAfter(K0, 2);
  t.equal(verdictOf(rawNode([{ k: top, v: V }], child.cid), child), 'commit_mst_bad', 'skipping');
  const between = rawNode([], child.cid);
  t.equal(verdictOf(rawNode([{ k: top, v: V }], between.cid), between, child), 'ok', 'leafless');
});

t.test(
  'step 3, MS-5: a leafless node has its layer from above, with its child or without',
  async (t) => {
    // Three layers up; of the chain between, any tail may be missing from a partial tree.
    const low = keyOf(0, 0);
    const bottom = rawNode([{ k: low, v: V }]);
    const one = rawNode([], bottom.cid);
    const two = rawNode([], one.cid);
    const root = rawNode([{ k: keyAfter(low, 3), v: V }], two.cid);
    for (const blocks of [[], [two], [two, one], [two, one, bottom]]) {
      t.equal(verdictOf(root, ...blocks), 'ok', `${blocks.length} of the chain`);
    }
    const short = rawNode([{ k: keyAfter(low, 3), v: V }], one.cid);
    t.equal(verdictOf(short, one, bottom), 'commit_mst_bad', 'a chain that is one too short');
    const three = rawNode([], two.cid);
    const long = rawNode([{ k: keyAfter(low, 3), v: V }], three.cid);
    t.equal(verdictOf(long, three, two), 'ok', 'and one too long: nothing shows it yet');
    t.equal(verdictOf(long, three, two, one), 'commit_mst_bad', 'a link of layer 0 does');
    t.equal(verdictOf(long, three, two, one, bottom), 'commit_mst_bad');
  },
);

t.test('step 3, H112: the same child twice, though it shows no key', async (t) => {
  const top = keyOf(2, 0);
  const leafless = rawNode([], someCid('below'));
  const once = rawNode([{ k: top, v: V }], leafless.cid);
  t.equal(verdictOf(once, leafless), 'ok');
  const twice = rawNode([{ k: top, t: leafless.cid, v: V }], leafless.cid);
  t.equal(verdictOf(twice, leafless), 'commit_mst_bad');
});

t.test('H112: 40 nodes each linking the next one twice, in linear time', async (t) => {
  let below = rawNode([{ k: keyOf(0, 0), v: V }]);
  const blocks = [below];
  for (let i = 0; i < 40; i++) {
    below = rawNode([{ k: keyOf(Math.min(i + 1, 6), 0), t: below.cid, v: V }], below.cid);
    blocks.push(below);
  }
  const car = new CarIndex();
  const tree = new PartialTree(car);
  const bytes = encodeCar([below.cid], blocks);
  t.equal(car.load(bytes, 0, bytes.length), undefined);
  t.ok(car.isIntact());
  t.equal(tree.load(bytes, bytes.indexOf(below.cid, 0, 'latin1')), 'commit_mst_bad');
  t.ok(tree.arena.nodeCount <= blocks.length, `${tree.arena.nodeCount} nodes read`);
});

t.test('LM-9, H113: more keys in a node than its limit', async (t) => {
  const nodeOf = (count: number): Block => {
    const keys = Array.from({ length: count }, (_, i) => keyOf(0, i));
    return rawNode(keys.map((key, i) => ({ ...after(keys[i - 1] ?? '', key), v: V })));
  };
  t.equal(verdictOf(nodeOf(NODE_ENTRIES_MAX)), 'ok');
  t.equal(verdictOf(nodeOf(NODE_ENTRIES_MAX + 1)), 'commit_mst_limit');
  t.equal(verdictOf(nodeOf(5000)), 'commit_mst_limit');
});

t.test(
  'LM-9, MS-7, step 3, H114: a chain of leafless nodes is bounded before it is followed',
  async (t) => {
    const chain: Block[] = [rawNode([], someCid('end'))];
    for (let i = 0; i < 9000; i++) chain.push(rawNode([], chain.at(-1)?.cid ?? null));
    const root = rawNode([{ k: keyOf(6, 0), v: V }], chain.at(-1)?.cid ?? null);
    t.equal(verdictOf(root, ...chain), 'commit_mst_bad');
    t.ok(LAYER_MAX <= 128, 'no stack is used up by honest depth');
  },
);

t.test('MS-2, H115: fields missing, extra, in another order or of another type', async (t) => {
  const out = (): DrislWriter => new DrislWriter();
  const value = out().text('v').link(V).done();
  const noChild = out().text('t').null().done();
  const key = out().text('k').bytes(Buffer.from(K0)).done();
  const prefix = out().text('p').integer(0).done();
  const entry = (...fields: Buffer[]): Buffer => out().map(4).raw(Buffer.concat(fields)).done();
  const right = entry(key, prefix, noChild, value);
  const node = (body: Buffer): DrislWriter => out().map(2).text('e').array(1).raw(body);
  const nodeOf = (...fields: Buffer[]): Buffer =>
    node(entry(...fields))
      .text('l')
      .null()
      .done();
  t.equal(verdictOf(blockOf(node(right).text('l').null().done())), 'ok');
  const three = out().map(3).raw(key).raw(prefix).raw(value).done();
  const list = out().map(2).text('e');
  const bad: Record<string, Buffer> = {
    'no l': out().map(1).text('e').array(1).raw(right).done(),
    'no e': out().map(1).text('l').null().done(),
    'extra field': out().map(3).raw(node(right).done().subarray(1)).text('l').null().done(),
    'l before e': out().map(2).text('l').null().text('e').array(1).raw(right).done(),
    'e a map': out().map(2).text('e').map(0).text('l').null().done(),
    'e null': out().map(2).text('e').null().text('l').null().done(),
    'l a text': node(right).text('l').text('x').done(),
    'l without value': node(right).text('l').done(),
    'count too large': out().map(2).text('e').array(2).raw(right).text('l').null().done(),
    'trailing byte': node(right).text('l').null().null().done(),
    'no t': node(three).text('l').null().done(),
    'v null': nodeOf(key, prefix, noChild, out().text('v').null().done()),
    'k a text': nodeOf(out().text('k').text(K0).done(), prefix, noChild, value),
    'k claims 4 GiB': nodeOf(Buffer.from('616b5affffffff', 'hex'), prefix, noChild, value),
    'p not shortest': nodeOf(key, Buffer.from('61701800', 'hex'), noChild, value),
    'p a float': nodeOf(key, Buffer.from('6170fb0000000000000000', 'hex'), noChild, value),
    nothing: Buffer.alloc(0),
    'no CBOR': Buffer.from('deadbeef', 'hex'),
  };
  for (const [name, bytes] of Object.entries(bad))
    t.equal(verdictOf(blockOf(bytes)), 'commit_mst_bad', name);
  const huge = list
    .array(2 ** 40)
    .raw(right)
    .text('l')
    .null()
    .done();
  t.equal(verdictOf(blockOf(huge)), 'commit_mst_limit', 'a count of 2^40');
});

t.test('MS-2: every truncation of a node is refused', async (t) => {
  const node = rawNode([{ k: keyOf(1, 0), t: someCid('r'), v: V }], someCid('l'));
  t.equal(verdictOf(node), 'ok');
  for (let bytes = 0; bytes < node.bytes.length; bytes++)
    t.equal(
      verdictOf(blockOf(Buffer.from(node.bytes.subarray(0, bytes)))),
      'commit_mst_bad',
      `${bytes}`,
    );
});

t.test('CD-4, CD-5, H116: node links of other codecs; links to a commit or a record', async (t) => {
  const key = keyOf(1, 0);
  const raw = (cid: string): string => `\x01\x55${cid.slice(2)}`;
  t.equal(verdictOf(rawNode([{ k: key, v: V }], raw(V))), 'commit_mst_bad', 'l raw');
  t.equal(verdictOf(rawNode([{ k: key, t: raw(V), v: V }])), 'commit_mst_bad', 't raw');
  t.equal(verdictOf(rawNode([{ k: key, v: raw(V) }])), 'ok', 'A36: a record may be raw');
  const pb = `\x01\x70${V.slice(2)}`;
  t.equal(verdictOf(rawNode([{ k: key, v: pb }])), 'commit_mst_bad', 'v dag-pb');
  const commit = blockOf(
    encodeCommit({ did: 'did:plc:a', rev: '3jui7kd54zh2y', data: V }, Buffer.alloc(64)),
  );
  t.equal(verdictOf(rawNode([{ k: key, v: V }], commit.cid), commit), 'commit_mst_bad', 'commit');
  const record = blockOf(new DrislWriter().map(1).text('$type').text('x').done());
  t.equal(verdictOf(rawNode([{ k: key, v: V }], record.cid), record), 'commit_mst_bad', 'record');
});

t.test('CB-11, LM-10: a small CAR that expands to more than 16 MiB of keys', async (t) => {
  // Long keys that share nearly all their bytes: 60 bytes each on the wire, 1 KiB in memory.
  const start = `a.b.c/${'x'.repeat(KEY_BYTES_MAX - 16)}`;
  const children: Block[] = [];
  const separators: string[] = [];
  let keys: string[] = [];
  for (let n = 0; separators.length < 36; n++) {
    const key = `${start}${n.toString().padStart(10, '0')}`;
    const layer = layerOf(key);
    if (layer === 0 && keys.length < NODE_ENTRIES_MAX) keys.push(key);
    if (layer !== 1 || keys.length < NODE_ENTRIES_MAX) continue;
    children.push(rawNode(keys.map((each, i) => ({ ...after(keys[i - 1] ?? '', each), v: V }))));
    separators.push(key);
    keys = [];
  }
  const root = (count: number): Block => {
    const entries = separators.slice(0, count).map((key, i): RawEntry => {
      return { ...after(separators[i - 1] ?? '', key), t: children[i + 1]?.cid ?? null, v: V };
    });
    return rawNode(entries, children[0]?.cid ?? null);
  };
  t.ok(separators.length * NODE_ENTRIES_MAX * KEY_BYTES_MAX > TREE_BYTES_MAX);
  t.ok(encodeCar([V], children).length < 2_000_000, 'it fits in a commit');
  const full = root(separators.length);
  const start0 = children.slice(0, 5);
  t.equal(verdictOf(full, ...start0), 'ok', 'the others as stubs');
  t.equal(verdictOf(full, ...children), 'commit_mst_limit');
  t.equal(verdictOf(full, ...start0), 'ok', 'and the next tree is judged on its own');
});

t.test('deps §5: a used tree forgets the one before', async (t) => {
  const car = new CarIndex();
  const tree = new PartialTree(car);
  const big = rawNode([{ k: keyOf(1, 0), v: V }], someCid('x'));
  for (const root of [big, nodeBlock(EMPTY_TREE), big]) {
    const bytes = encodeCar([root.cid], [root]);
    t.equal(car.load(bytes, 0, bytes.length), undefined);
    t.ok(car.isIntact());
    t.equal(tree.load(bytes, bytes.indexOf(root.cid, 0, 'latin1')), undefined);
    t.equal(tree.arena.nodeCount, 1);
  }
});
