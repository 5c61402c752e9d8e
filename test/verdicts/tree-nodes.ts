/**
 * Trees whose nodes are wrong, for the rows H103 … H116. Plain inversion of the operation accepts
 * many of them; each is signed, hashed and right in everything that its name does not say.
 */
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { EMPTY_TREE, layerOf, putLeaf, TreeNode } from '../../scripts/fleet/repo-tree.ts';
import type { Block, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import { blocksOf } from '../repo/car-blocks.ts';
import {
  blockOf,
  keyAfter,
  keyOf,
  nodeBlock,
  type RawEntry,
  rawNode,
  someCid,
} from '../repo/tree-kit.ts';
import { committed, type Made, newRecord } from './drafts.ts';
import { Created, type TreeInput, type TreeInputs, treeCommit } from './tree-inputs.ts';

const OLD = someCid('an old record');

/** Suffix and prefix length of a key after another, as they should be. */
function after(previous: string, key: string): { k: string; p: number } {
  let p = 0;
  while (p < key.length && previous[p] === key[p]) p++;
  return { k: key.slice(p), p };
}

/** A root of these entries for a tree that was `before`; the operation creates `created`. */
function rootOf(created: Created, entries: readonly RawEntry[], before?: TreeNode): TreeInput {
  return created.in(rawNode(entries), [], before);
}

/** A node of one layer with these keys; `created` has its own value, the others an old one. */
function nodeOf(layer: number, keys: readonly string[], created: Created): TreeNode {
  const leafOf = (key: string): string => (key === created.path ? created.v : OLD);
  return new TreeNode(
    layer,
    keys.map((key) => ({ key, value: leafOf(key) })),
  );
}

/** A right tree told in the same way: what makes the others wrong is what their names say. */
export function control(): TreeInput {
  const created = new Created(keyOf(0, 3));
  const before = nodeOf(0, [keyOf(0, 0)], created);
  const tree = putLeaf(before, created.path, created.v);
  const commit = { root: nodeBlock(tree), ops: [created.op], records: [created.record] };
  const make = (repo: SignedRepo): Made => {
    const made = treeCommit(repo, committed(repo, []), commit);
    repo.tree = tree;
    return made;
  };
  return { before, make };
}

export function wrongLayers(): TreeInputs {
  const top = keyOf(1, 0);
  const low = new Created(keyAfter(top, 0));
  const stray = keyAfter(top, 0);
  const high = new Created(keyAfter(stray, 1));
  const withStray = nodeOf(1, [top, stray], high);
  return {
    'the created key in a node above': low.in(
      nodeBlock(nodeOf(1, [top, low.path], low)),
      [],
      nodeOf(1, [top], low),
    ),
    'an old key beside the created one': high.in(
      nodeBlock(nodeOf(1, [top, stray, high.path], high)),
      [],
      withStray,
    ),
  };
}

export function outOfOrder(): TreeInputs {
  const [low, high] = [keyOf(0, 0), keyAfter(keyOf(0, 0), 0)];
  const created = new Created(low);
  const first = new Created(keyOf(0, 0));
  const top = keyAfter(first.path, 1);
  const beyond = keyAfter(top, 0);
  const left = rawNode([{ k: first.path, v: first.v }]);
  const right = rawNode([{ k: beyond, v: OLD }]);
  return {
    'in a node': rootOf(created, [
      { k: high, v: OLD },
      { ...after(high, low), v: created.v },
    ]),
    'across nodes': first.in(rawNode([{ k: top, t: left.cid, v: OLD }], right.cid), [left, right]),
    'across nodes, one of them here': first.in(
      rawNode([{ k: top, t: left.cid, v: OLD }], right.cid),
      [left],
    ),
  };
}

export function twice(): TreeInputs {
  const created = new Created(keyOf(0, 3));
  const old = keyOf(0, 0);
  const { k, p } = after(old, created.path);
  const entries = [
    { k: old, v: OLD },
    { k, p, v: created.v },
  ];
  const again = { k: '', p: created.path.length };
  const before = nodeOf(0, [old], created);
  return {
    'the created key': rootOf(created, [...entries, { ...again, v: created.v }], before),
    'with another value': rootOf(created, [...entries, { ...again, v: OLD }], before),
    'written in full': rootOf(
      created,
      [...entries, { k: created.path, p: 0, v: created.v }],
      before,
    ),
  };
}

export function leaflessRoots(): TreeInputs {
  const created = new Created(keyOf(0, 3));
  const before = nodeOf(0, [keyOf(0, 0)], created);
  const root = putLeaf(before, created.path, created.v);
  const one = new TreeNode(1, [root]);
  const two = new TreeNode(2, [one]);
  return {
    'one node': created.in(nodeBlock(one), [nodeBlock(root)], before),
    'two nodes': created.in(nodeBlock(two), [nodeBlock(one), nodeBlock(root)], before),
  };
}

export function emptyChildren(): TreeInputs {
  const created = new Created(keyOf(1, 0));
  const empty = nodeBlock(EMPTY_TREE);
  const entry = { k: created.path, v: created.v };
  return {
    'on the left': created.in(rawNode([entry], empty.cid), [empty]),
    'on the right': created.in(rawNode([{ ...entry, t: empty.cid }]), [empty]),
  };
}

export function prefixes(): TreeInputs {
  const old = keyOf(0, 0);
  const created = new Created(keyAfter(old, 0));
  const { k } = after(old, created.path);
  const second = (p: number): TreeInput =>
    rootOf(created, [
      { k: old, v: OLD },
      { k, p, v: created.v },
    ]);
  return {
    'first entry, p = 3': rootOf(created, [{ k: created.path.slice(3), p: 3, v: created.v }]),
    'p beyond the key before': second(old.length + 1),
    'p = -1': second(-1),
    'p = 2^40': second(2 ** 40),
  };
}

export function shortPrefixes(): TreeInputs {
  const old = keyOf(0, 0);
  const created = new Created(keyAfter(old, 0));
  const { p } = after(old, created.path);
  const second = (shared: number): TreeInput =>
    rootOf(created, [
      { k: old, v: OLD },
      { k: created.path.slice(shared), p: shared, v: created.v },
    ]);
  return { 'one less': second(p - 1), none: second(0) };
}

/** A key of layer 0 that is no path, beside a right one. */
export function badKeys(): TreeInputs {
  const ofLayer0 = (make: (n: number) => string): string => {
    for (let n = 0; ; n++) if (layerOf(make(n)) === 0) return make(n);
  };
  const bad = {
    empty: '',
    '1025 bytes': ofLayer0((n) => `a.b.c/${n}`.padEnd(1025, 'x')),
    'not UTF-8': ofLayer0((n) => `a.b.c/\xff\xfe${n}`),
    'no slash': ofLayer0((n) => `abc${n}`),
  };
  const inputs = Object.entries(bad).map(([name, key]): [string, TreeInput] => {
    const created = new Created(keyOf(0, 0));
    const [a, b] = [key, created.path].toSorted() as [string, string];
    const leafOf = (each: string): string => (each === key ? OLD : created.v);
    const second = { ...after(a, b), v: leafOf(b) };
    return [name, rootOf(created, [{ k: a, v: leafOf(a) }, second])];
  });
  return Object.fromEntries(inputs);
}

export function badLinks(): TreeInputs {
  const low = new Created(keyOf(0, 0));
  const stub = someCid('a child');
  const entry = { k: low.path, v: low.v };
  const child = rawNode([entry]);
  const top = keyAfter(low.path, 2);
  return {
    'l at layer 0': low.in(rawNode([entry], stub)),
    't at layer 0': low.in(rawNode([{ ...entry, t: stub }])),
    'a child two layers down': low.in(
      rawNode([{ k: top, v: OLD }], child.cid),
      [child],
      nodeOf(2, [top], low),
    ),
  };
}

/** 40 nodes, each of which links the next one twice: 2^40 nodes for who follows all links. */
export function bombs(): TreeInputs {
  const created = new Created(keyOf(0, 0));
  const layers = (bottom: number): Block[] => {
    let below = rawNode([{ k: created.path, v: created.v }]);
    const nodes = [below];
    for (let i = 1; i <= 40; i++) {
      const k = keyOf(Math.min(Math.max(i - bottom, 0), 6), 0);
      below = rawNode([{ k, t: below.cid, v: OLD }], below.cid);
      nodes.unshift(below);
    }
    return nodes;
  };
  const bomb = ([root, ...nodes]: Block[]): TreeInput => created.in(root as Block, nodes);
  return { 'layers from below': bomb(layers(0)), 'layers from above': bomb(layers(34)) };
}

/** A node of so many keys of layer 0, the first one just created. */
export function crowded(keyCount: number): TreeInputs {
  const created = new Created(keyOf(0, 0));
  const keys = Array.from({ length: keyCount }, (_, i) => keyOf(0, i));
  const before = nodeOf(0, keys.slice(1), created);
  return { crowded: created.in(nodeBlock(nodeOf(0, keys, created)), [], before) };
}

/** A root with a key over so many nodes without one. */
export function chain(nodeCount: number): TreeInputs {
  const created = new Created(keyOf(6, 0));
  const nodes: Block[] = [rawNode([], someCid('the end'))];
  while (nodes.length < nodeCount) nodes.unshift(rawNode([], (nodes[0] as Block).cid));
  const root = rawNode([{ k: created.path, v: created.v }], (nodes[0] as Block).cid);
  const leafless = nodes[0] as Block;
  return {
    'below a key': created.in(root, nodes),
    'without any key': created.in(leafless, nodes.slice(1)),
  };
}

export function badFields(): TreeInputs {
  const created = new Created(keyOf(0, 0));
  const out = (): DrislWriter => new DrislWriter();
  const key = out().text('k').bytes(Buffer.from(created.path)).done();
  const prefix = out().text('p').integer(0).done();
  const noChild = out().text('t').null().done();
  const link = out().text('v').link(created.v).done();
  const extra = out().text('x').null().done();
  const node = (...fields: readonly Buffer[]): DrislWriter =>
    out().map(2).text('e').array(1).map(fields.length).raw(Buffer.concat(fields));
  const right = node(key, prefix, noChild, link);
  const whole = right.text('l').null().done();
  const input = (bytes: Buffer): TreeInput => created.in(blockOf(bytes));
  return {
    'no l': input(Buffer.concat([Buffer.from([0xa1]), whole.subarray(1, -3)])),
    'no e': input(out().map(1).text('l').null().done()),
    'one more in the node': input(Buffer.concat([Buffer.from([0xa3]), whole.subarray(1), extra])),
    'no t in an entry': input(node(key, prefix, link).text('l').null().done()),
    'no p in an entry': input(node(key, noChild, link).text('l').null().done()),
    'one more in an entry': input(node(key, prefix, noChild, link, extra).text('l').null().done()),
  };
}

export function foreignLinks(): TreeInputs {
  const created = new Created(keyOf(1, 0));
  const entry = { k: created.path, v: created.v };
  const child = rawNode([{ k: keyOf(0, 0), v: OLD }]);
  const raw = { ...child, cid: `\x01\x55${child.cid.slice(2)}` };
  const record = blockOf(newRecord());
  const linked = (block: Block): TreeInput => created.in(rawNode([entry], block.cid), [block]);
  return {
    raw: linked(raw),
    'a record': linked(record),
    'the created record': linked(created.record),
    'the commit before': { make: (repo) => linked(commitBlock(repo)).make(repo) },
  };
}

/** The account's last commit. */
function commitBlock(repo: SignedRepo): Block {
  const [commit] = blocksOf(repo.sync().blocks);
  return commit as Block;
}
