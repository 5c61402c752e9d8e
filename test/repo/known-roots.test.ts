/** Trees whose roots are known from elsewhere, built, undone and made again. */
import t from 'tap';
import { cidFromText, cidText, EMPTY_TREE_CID } from '../../lib/repo/cid.ts';
import { EMPTY_TREE, putLeaf, TreeNode } from '../../scripts/fleet/repo-tree.ts';
import type { Block } from '../../scripts/fleet/signed-repo.ts';
import { nodeBlock, opView, undone } from './tree-kit.ts';

/** Roots of known trees, as published with the reference implementations. */
const KNOWN_ROOTS: readonly (readonly [name: string, root: string, records: string[]])[] = [
  ['empty', 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm', []],
  ['trivial', 'bafyreibj4lsc3aqnrvphp5xmrnfoorvru4wynt6lwidqbm2623a6tatzdu', ['3jqfcqzm3fo2j']],
  [
    'one key of layer 2',
    'bafyreih7wfei65pxzhauoibu3ls7jgmkju4bspy4t2ha2qdjnzqvoy33ai',
    ['3jqfcqzm3fx2j'],
  ],
  [
    'simple',
    'bafyreicmahysq4n6wfuxo522m6dpiy7z7qzym3dzs756t5n7nfdgccwq7m',
    ['3jqfcqzm3fp2j', '3jqfcqzm3fr2j', '3jqfcqzm3fs2j', '3jqfcqzm3ft2j', '3jqfcqzm4fc2j'],
  ],
];

t.test('MS-2, MS-6: roots of known trees', async (t) => {
  const value = cidFromText('bafyreie5cvv4h45feadgeuwhbcutmh6t2ceseocckahdoe6uat64zmz454') ?? '';
  for (const [name, root, records] of KNOWN_ROOTS) {
    let tree = EMPTY_TREE;
    for (const record of records) tree = putLeaf(tree, `com.example.record/${record}`, value);
    t.equal(cidText(tree.cid), root, `${name}, built`);
    const nodes: Block[] = [];
    const walk = (node: TreeNode): void => {
      nodes.push(nodeBlock(node));
      for (const item of node.items) if (item instanceof TreeNode) walk(item);
    };
    walk(tree);
    const ops = records.map((record) =>
      opView('create', `com.example.record/${record}`, value, ''),
    );
    t.equal(undone(tree.cid, nodes, ops), EMPTY_TREE_CID, `${name}, undone`);
    const back = ops.map(({ path }) => opView('delete', path, '', value));
    t.equal(cidText(undone(EMPTY_TREE_CID, [nodeBlock(EMPTY_TREE)], back)), root, `${name}, made`);
  }
});
