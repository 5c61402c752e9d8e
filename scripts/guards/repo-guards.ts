/** Guards on what a repository is: CAR, commit object, tree. */
import type { Guard } from './guard.ts';

const CAR = { file: 'lib/repo/car.ts', test: 'test/repo/car.test.ts' };
const COMMIT = { file: 'lib/repo/commit.ts', test: 'test/repo/commit.test.ts' };
const TREE = { file: 'lib/repo/mst.ts', test: 'test/repo/mst.test.ts' };
const NODE = { file: 'lib/repo/mst-node.ts', test: 'test/repo/mst.test.ts' };
/** With `prevData` undoing notices it, too. */
const INVERT = { file: 'lib/repo/invert.ts', test: 'test/verify/chain.test.ts' };
const EDIT = { file: 'lib/repo/mst-edit.ts', test: 'test/repo/invert.test.ts' };

export const REPO_GUARDS: readonly Guard[] = [
  {
    ...CAR,
    name: 'shortest varints',
    find: 'if (byte === 0 && at > start) return BAD;',
    replace: '',
    title: 'CA-1, H69',
  },
  {
    ...CAR,
    name: 'blocks under blessed CIDs',
    find: "if (!isBlessed(this.#buf, cidAt)) return 'commit_block_cid_bad';",
    replace: '',
    title: 'CD-1, H70',
  },
  {
    ...CAR,
    name: 'number of blocks',
    find: "if (this.#blockCount === CAR_BLOCKS_MAX) return 'commit_car_blocks_too_many';",
    replace: '',
    title: 'CA-3, CB-11, H73',
  },
  {
    ...CAR,
    name: 'no look-up among false CIDs',
    find: "assert(this.#isIndexed, 'a block looked up among CIDs that nobody has checked');",
    replace: '',
    title: 'H73: false CIDs',
  },
  {
    ...COMMIT,
    name: 'commit version',
    find: 'return first === COMMIT_VERSION ? SAW_VERSION : BAD_VERSION;',
    replace: 'return SAW_VERSION;',
    title: 'CM-1, H76',
  },
  {
    ...COMMIT,
    name: 'canonical commit object',
    find: 'if (scanItem(buf, start, end, RULES_FRAME) !== end)',
    replace: 'if (skipItem(buf, start, end) !== end)',
    title: 'CM-3, CB-3, H82',
  },
  {
    ...COMMIT,
    name: 'links of a commit lead to DRISL',
    find: 'return isDrislLink(buf, at, end) ? SAW_DATA : BAD_VALUE;',
    replace: 'return SAW_DATA;',
    title: 'CD-4, CM-1, H79',
  },
  {
    ...TREE,
    name: 'layer of a key',
    find: 'if (!this.#isOfHeight(item, layer)) return this.#fail();',
    replace: '',
    title: 'MS-5, step 3, H103',
  },
  {
    ...TREE,
    name: 'order of keys across nodes',
    find: 'if (!isOrderKnown && !this.#isAfterLastLeaf(item)) return this.#fail();',
    replace: '',
    title: 'MS-4, MS-7, H104: keys out of order across',
  },
  {
    ...TREE,
    name: 'no node twice',
    find: "if (this.#loadOfBlock[block] === this.#loadNo) return this.#refuse('commit_mst_bad');",
    replace: '',
    title: 'step 3, H112',
  },
  {
    ...TREE,
    name: 'no leafless root',
    find: "if (nodeLayer < 0) return this.#refuse('commit_mst_bad');",
    replace: '',
    title: 'MS-6, H106',
  },
  {
    ...TREE,
    name: 'no empty child',
    find: "if (!isRoot && this.firstOf(node) === NONE) return this.#refuse('commit_mst_bad');",
    replace: '',
    title: 'MS-6, H107',
  },
  {
    ...TREE,
    name: 'no link at layer 0',
    find: 'if (layer === 0) return this.#fail();',
    replace: '',
    title: 'MS-5, H111',
  },
  {
    ...TREE,
    name: 'memory of a tree',
    find: 'if (arena.bytesUsed + end - start > TREE_BYTES_MAX)',
    replace: 'if (arena.bytesUsed < 0)',
    title: 'CB-11, LM-10: a small CAR',
  },
  {
    ...NODE,
    name: 'entries of a node',
    find: "if (count > NODE_ENTRIES_MAX) return 'commit_mst_limit';",
    replace: '',
    title: 'LM-9, H113',
  },
  {
    ...NODE,
    name: 'longest prefix, keys in order',
    find: '<= byteAt(bytes, leafAt + prefixBytes)) return false;',
    replace: '< 0) return false;',
    title: 'MS-3, H109',
  },
  {
    ...NODE,
    name: 'no key twice in a node',
    find: 'if (suffixBytes <= 0 || suffixBytes > KEY_BYTES_MAX) return NONE;',
    replace: 'if (suffixBytes < 0 || suffixBytes > KEY_BYTES_MAX) return NONE;',
    title: 'MS-4, H105',
  },
  {
    ...NODE,
    name: 'prefix within the key before',
    find: 'if (prefixBytes > leafBytes) return false;',
    replace: '',
    title: 'H108: a prefix that goes on',
  },
  {
    ...NODE,
    name: 'links between nodes are strict',
    find: '(isValue && head === CID_HEAD_RAW) ? cidAt : NO_LINK;',
    replace: 'head === CID_HEAD_RAW ? cidAt : NO_LINK;',
    title: 'CD-4, CD-5, H116',
  },
  {
    ...INVERT,
    name: 'the tree shows the value of an operation',
    find: 'arena.cidAt(arena.itemCidAt[leaf] as number) === cid;',
    replace: 'cid !== undefined;',
    title: 'step 4, H99, H100 without prevData',
  },
  {
    ...INVERT,
    name: 'a deleted key is absent',
    find: "if (action === 'delete') return leaf === NONE ? undefined : 'commit_op_mismatch';",
    replace: "if (action === 'delete') return undefined;",
    title: 'step 4, H99, H100 without prevData',
  },
  {
    ...EDIT,
    name: 'a stub is no node',
    find: "if (node === NONE) this.#fault = 'commit_block_missing';",
    replace: '',
    title: 'step 6, step 8, H97',
  },
];
