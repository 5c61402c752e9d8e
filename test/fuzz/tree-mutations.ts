/**
 * Trees made wrong, node by node; every hash above is made anew. What only the structure can give
 * away (spec §1.9, H103…H116) needs a `prevData` that follows: see `input.ts`.
 */
import type { Prng } from '../../lib/base/prng.ts';
import { keyOf } from '../repo/tree-kit.ts';
import { mutateCbor } from './cbor-mutations.ts';
import type { Draft } from './draft.ts';
import { allNodes, type DraftEntry, DraftNode, type Link } from './draft-node.ts';
import type { Mutation } from './mutation.ts';
import { chance, mutateBytes, pick, strangeCid } from './random.ts';

const BOMB_NODES_MAX = 40;
const WIDE_ENTRIES = 513;
const CHAIN_NODES = [2, 64, 65, 70, 300];

type NodeChange = (prng: Prng, node: DraftNode, draft: Draft) => boolean;

/** A change of any node that comes along. */
function ofNode(name: string, change: NodeChange, weight = 1): Mutation {
  return {
    name: `tree: ${name}`,
    weight,
    isOfTree: true,
    apply: (prng, draft) => {
      const { nodes } = draft;
      if (nodes.length === 0) return false;
      for (let attempt = 0; attempt < 4; attempt++) {
        if (change(prng, pick(prng, nodes), draft)) return true;
      }
      return false;
    },
  };
}

function leafChange(
  name: string,
  change: (prng: Prng, leaf: DraftEntry, draft: Draft, node: DraftNode) => void,
  weight = 1,
): Mutation {
  return ofNode(
    name,
    (prng, node, draft) => {
      if (node.entries.length === 0) return false;
      change(prng, pick(prng, node.entries), draft, node);
      return true;
    },
    weight,
  );
}

function linkChange(
  name: string,
  change: (prng: Prng, to: Link, draft: Draft) => Link | undefined,
): Mutation {
  return ofNode(name, (prng, node, draft) => {
    const index = prng.nextBelow(node.entries.length + 1) - 1;
    const next = change(prng, node.links[index + 1] ?? null, draft);
    if (next === undefined || (next instanceof DraftNode && allNodes(next).has(node))) return false;
    node.setLink(index, next);
    return true;
  });
}

/** Puts an entry where the order of keys wants it. */
function insertSorted(node: DraftNode, entry: DraftEntry): void {
  const at = node.entries.findIndex(({ key }) => key > entry.key);
  node.entries.splice(at < 0 ? node.entries.length : at, 0, entry);
}

/** The operations that name a key name another one. */
function renameInOps(draft: Draft, from: string, to: string): void {
  for (const op of draft.ops) if (op.path === from) op.path = to;
}

function parentOf(draft: Draft, child: DraftNode): DraftNode | undefined {
  return draft.nodes.find((node) => node.children.includes(child));
}

function replaceNode(draft: Draft, node: DraftNode, by: Link): void {
  const parent = parentOf(draft, node);
  if (parent !== undefined) {
    parent.links.forEach((to, index) => {
      if (to === node) parent.setLink(index - 1, by);
    });
  } else if (draft.root === node && by !== null) draft.root = by;
}

const odd = (key: string): readonly string[] => [
  '',
  'a',
  '/',
  `${key}/more`,
  key.replace('/', ''),
  key.slice(0, key.indexOf('/') + 1),
  key.slice(key.indexOf('/')),
  `${key}\xe9`,
  `${key} `,
  `${key}\0`,
  key.padEnd(1024, 'x'),
  key.padEnd(1025, 'x'),
];

const KEY_CHANGES: readonly Mutation[] = [
  leafChange('a key renamed', (prng, leaf, draft) => {
    const key = `${leaf.key.slice(0, -1)}${pick(prng, ['2', '7', 'b', 'y', '~'])}`;
    renameInOps(draft, leaf.key, key);
    leaf.key = key;
  }),
  leafChange('a key from elsewhere', (prng, leaf, draft) => {
    const key = keyOf(prng.nextBelow(4), prng.nextBelow(8));
    if (chance(prng, 0.7)) renameInOps(draft, leaf.key, key);
    leaf.key = key;
  }),
  leafChange('an odd key', (prng, leaf) => {
    leaf.key = pick(prng, odd(leaf.key));
  }),
  leafChange(
    'another prefix length',
    (prng, leaf) => {
      leaf.prefix = pick<number | bigint>(prng, [
        0,
        1,
        2,
        5,
        18,
        19,
        30,
        40,
        -1,
        2 ** 40,
        2n ** 63n,
      ]);
    },
    2,
  ),
  leafChange('a prefix length for nothing', (prng, leaf, _, node) => {
    // The key is spelt out all the same: who takes what there is of a prefix reads it right.
    const entry = chance(prng, 0.7) ? node.entries[0] : leaf;
    if (entry === undefined) return;
    entry.prefix = pick(prng, [1, 7, 40, 2000]);
    entry.suffix = entry.key;
  }),
  leafChange('another value', (prng, leaf, draft) => {
    const values = draft.records.map(({ cid }) => cid).concat(strangeCid(prng));
    leaf.value = pick(prng, values);
  }),
  leafChange('a value of another form', (prng, leaf) => {
    const digest = leaf.value.slice(4);
    leaf.value = pick(prng, [
      `\x01\x55\x12\x20${digest}`,
      `\x01\x70\x12\x20${digest}`,
      `\x01\x71\x13\x40${digest}${digest}`,
      `\x12\x20${digest}`,
      leaf.value.slice(0, -1),
      '',
    ]);
  }),
  ofNode('an entry twice', (prng, node) => {
    const at = prng.nextBelow(node.entries.length);
    const entry = node.entries[at];
    if (entry === undefined) return false;
    node.entries.splice(at, 0, { ...entry, right: chance(prng, 0.5) ? null : entry.right });
    return true;
  }),
  ofNode('two entries swapped', (prng, node) => {
    if (node.entries.length < 2) return false;
    const at = prng.nextBelow(node.entries.length - 1);
    const [a, b] = node.entries.slice(at, at + 2) as [DraftEntry, DraftEntry];
    [a.key, b.key] = [b.key, a.key];
    if (chance(prng, 0.5)) [a.value, b.value] = [b.value, a.value];
    return true;
  }),
  ofNode('an entry left out', (prng, node) => {
    if (node.entries.length === 0) return false;
    node.entries.splice(prng.nextBelow(node.entries.length), 1);
    return true;
  }),
  ofNode('an entry more', (prng, node, draft) => {
    const key = keyOf(prng.nextBelow(3), prng.nextBelow(20));
    insertSorted(node, { key, value: strangeCid(prng), right: null });
    const gone = { action: 'delete', path: key, cid: null, prev: strangeCid(prng) };
    if (chance(prng, 0.3)) draft.ops.push(gone);
    return true;
  }),
];

const SHAPE_CHANGES: readonly Mutation[] = [
  ofNode(
    'an entry in another node',
    (prng, node, draft) => {
      const [entry] = node.entries.splice(prng.nextBelow(node.entries.length), 1);
      if (entry === undefined) return false;
      const left = node.entries.indexOf(entry) - 1;
      if (entry.right !== null && node.links[left + 1] === null) node.setLink(left, entry.right);
      insertSorted(pick(prng, draft.nodes), { ...entry, right: null });
      return true;
    },
    2,
  ),
  ofNode('an entry in two nodes', (prng, node, draft) => {
    if (node.entries.length === 0) return false;
    insertSorted(pick(prng, draft.nodes), { ...pick(prng, node.entries), right: null });
    return true;
  }),
  ofNode('a leafless root', (prng, _, draft) => {
    if (typeof draft.root === 'string') return false;
    for (let more = 1 + prng.nextBelow(2); more > 0; more--) {
      draft.root = new DraftNode([], draft.root);
    }
    return true;
  }),
  ofNode('an empty node below', (prng, node) => {
    node.setLink(prng.nextBelow(node.entries.length + 1) - 1, new DraftNode());
    return true;
  }),
  ofNode('a node one layer lower', (_, node, draft) => {
    replaceNode(draft, node, new DraftNode([], node));
    return true;
  }),
  ofNode('a node one layer higher', (_, node, draft) => {
    const [only] = node.links;
    if (node.entries.length > 0 || only === null || only === undefined) return false;
    replaceNode(draft, node, only);
    return true;
  }),
  ofNode('two nodes in each other’s place', (prng, node, draft) => {
    const other = pick(prng, draft.nodes);
    if (other === node || allNodes(other).has(node) || allNodes(node).has(other)) return false;
    [node.entries, other.entries] = [other.entries, node.entries];
    [node.left, other.left] = [other.left, node.left];
    return true;
  }),
  ofNode(
    'a chain of leafless nodes',
    (prng, node, draft) => {
      let top = node;
      for (let left = pick(prng, CHAIN_NODES); left > 0; left--) {
        draft.spares.push(top);
        // By its CID, so that nobody has to go down all of it later.
        top = new DraftNode([], top.block.cid);
      }
      replaceNode(draft, node, top);
      return true;
    },
    0.1,
  ),
  ofNode(
    'a bomb: each node links the next one twice',
    (prng, node, draft) => {
      let next: Link = strangeCid(prng);
      for (let left = 1 + prng.nextBelow(BOMB_NODES_MAX); left > 0; left--) {
        const key = keyOf(prng.nextBelow(3), prng.nextBelow(12));
        const bomb = new DraftNode([{ key, value: strangeCid(prng), right: next }], next);
        next = bomb;
        // Known now, or the way down would be as long as the bomb.
        void bomb.block;
      }
      if (chance(prng, 0.3)) draft.root = next as DraftNode;
      else node.setLink(prng.nextBelow(node.entries.length + 1) - 1, next);
      return true;
    },
    0.5,
  ),
  ofNode(
    'a node too wide',
    (prng, node) => {
      const entries = Array.from({ length: WIDE_ENTRIES - prng.nextBelow(3) }, (_, index) => {
        return { key: keyOf(0, index), value: strangeCid(prng), right: null };
      });
      node.entries = entries;
      node.left = null;
      return true;
    },
    0.1,
  ),
];

const LINK_CHANGES: readonly Mutation[] = [
  linkChange('a link to nowhere', (prng) => strangeCid(prng)),
  linkChange('a link taken away', (_, to) => (to === null ? undefined : null)),
  linkChange('a node left out', (_, to) => (to instanceof DraftNode ? to.block.cid : undefined)),
  linkChange('a link to a node that has one', (prng, _, draft) => pick(prng, draft.nodes)),
  linkChange('a link to a record', (prng, _, draft) => {
    return draft.records.length === 0 ? undefined : pick(prng, draft.records).cid;
  }),
  linkChange('a link of another form', (prng, to) => {
    const cid = to instanceof DraftNode ? to.block.cid : (to ?? strangeCid(prng));
    const prefix = pick(prng, ['\x01\x55\x12\x20', '\x01\x70\x12\x20', '\x01\x71\x11\x20']);
    return `${prefix}${cid.slice(4)}`;
  }),
  linkChange('a leaf for a link', (prng) => {
    const key = keyOf(prng.nextBelow(2), prng.nextBelow(20));
    return new DraftNode([{ key, value: strangeCid(prng), right: null }]);
  }),
];

const BYTE_CHANGES: readonly Mutation[] = [
  ofNode(
    'its encoding',
    (prng, node) => {
      node.patch = (bytes) => mutateCbor(prng, bytes);
      return true;
    },
    6,
  ),
  ofNode('bytes behind it', (prng, node) => {
    node.patch = (bytes) => Buffer.concat([bytes, Buffer.alloc(1 + prng.nextBelow(3))]);
    return true;
  }),
  ofNode(
    'its bytes',
    (prng, node) => {
      node.patch = (bytes) => mutateBytes(prng, bytes);
      return true;
    },
    4,
  ),
];

export const TREE_MUTATIONS: readonly Mutation[] = [
  ...KEY_CHANGES,
  ...SHAPE_CHANGES,
  ...LINK_CHANGES,
  ...BYTE_CHANGES,
];
