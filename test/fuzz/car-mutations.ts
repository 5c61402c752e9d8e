/** Blocks left out, doubled, moved and changed, records of odd kinds, CARs made wrong (§5.4). */
import type { Prng } from '../../lib/base/prng.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import { type Block, varint } from '../../scripts/fleet/signed-repo.ts';
import { byteString, encodeMap, entry, head, MAJOR, text } from './cbor-items.ts';
import { anyValue, mutateCbor } from './cbor-mutations.ts';
import type { Draft } from './draft.ts';
import type { Mutation } from './mutation.ts';
import { chance, mutateBytes, pick, shuffled, strangeCid } from './random.ts';

const RECORD_BYTES_MAX = 1_000_000;

function ofBlocks(
  name: string,
  change: (prng: Prng, blocks: Block[], others: readonly Draft[]) => Block[],
  weight = 1,
): Mutation {
  return {
    name: `blocks: ${name}`,
    weight,
    isOfSync: true,
    apply: (prng, draft, others) => {
      const before = draft.onBlocks;
      draft.onBlocks = (blocks) => change(prng, before?.(blocks) ?? blocks, others);
      return true;
    },
  };
}

/** As `ofBlocks`, of one block; not for an empty list. */
function ofBlock(
  name: string,
  change: (prng: Prng, block: Block, blocks: readonly Block[]) => readonly Block[],
  weight = 1,
): Mutation {
  return ofBlocks(
    name,
    (prng, blocks) => {
      if (blocks.length === 0) return blocks;
      const at = prng.nextBelow(blocks.length);
      return blocks.toSpliced(at, 1, ...change(prng, blocks[at] as Block, blocks));
    },
    weight,
  );
}

const blockOf = (bytes: Buffer): Block => ({ cid: cidOf(bytes), bytes });

const BLOCK_MUTATIONS: readonly Mutation[] = [
  ofBlock('one left out', () => [], 3),
  ofBlock('one twice', (_, block) => [block, block]),
  ofBlocks('in another order', (prng, blocks) => shuffled(prng, blocks)),
  ofBlock('one of another commit', (prng, block, blocks) => [
    { cid: block.cid, bytes: pick(prng, blocks).bytes },
  ]),
  ofBlocks('two in each other’s place', (prng, blocks) => {
    if (blocks.length < 2) return blocks;
    const [i, j] = [prng.nextBelow(blocks.length), prng.nextBelow(blocks.length)];
    const [a, b] = [blocks[i] as Block, blocks[j] as Block];
    return blocks.with(i, { cid: a.cid, bytes: b.bytes }).with(j, { cid: b.cid, bytes: a.bytes });
  }),
  ofBlock('bytes that are not hashed again', (prng, { cid, bytes }) => [
    { cid, bytes: mutateBytes(prng, bytes) },
  ]),
  ofBlock('a CID of another form', (prng, { cid, bytes }) => {
    const digest = cid.slice(4);
    const cids = [
      `\x01\x55\x12\x20${digest}`,
      `\x01\x71\x12\x20${digest}`,
      `\x01\x70\x12\x20${digest}`,
      `\x01\x71\x00\x20${digest}`,
      `\x01\x71\x13\x40${digest}${digest}`,
      `\x12\x20${digest}`,
      digest,
      cid.slice(0, 35),
    ];
    return [{ cid: pick(prng, cids), bytes }];
  }),
  ofBlocks('unrelated ones', (prng, blocks) => {
    const count = pick(prng, [1, 1, 5, 50]);
    const more = Array.from({ length: count }, () => {
      const bytes = byteString(Buffer.from(`${prng.nextUint32()}`));
      const block = blockOf(bytes);
      const codec = pick(prng, ['\x71', '\x71', '\x71', '\x55', '\x70', '\x51']);
      return { cid: `\x01${codec}${block.cid.slice(2)}`, bytes };
    });
    return [...more, ...blocks];
  }),
  ofBlocks(
    'too many',
    (prng, blocks) => {
      const count = 10_000 - blocks.length + prng.nextBelow(2);
      const block = blockOf(Buffer.from([0xf6]));
      return [...blocks, ...Array.from({ length: count }, () => block)];
    },
    0.01,
  ),
  ofBlocks('none', () => [], 0.2),
  ofBlocks('all of another message', (_, blocks, others) => {
    const other = others[0];
    return other === undefined ? blocks : [...blocks.slice(0, 1), ...other.records];
  }),
];

/** Another record under the same path, wherever its CID stands. */
function ofRecord(
  name: string,
  change: (prng: Prng, bytes: Buffer) => Buffer,
  weight = 1,
): Mutation {
  return {
    name: `record: ${name}`,
    weight,
    isOfTree: true,
    apply: (prng, draft) => {
      if (draft.records.length === 0) return false;
      const at = prng.nextBelow(draft.records.length);
      const old = draft.records[at] as Block;
      const bytes = change(prng, Buffer.from(old.bytes));
      const prefix = name.startsWith('raw') ? '\x01\x55\x12\x20' : '\x01\x71\x12\x20';
      const cid = `${prefix}${cidOf(bytes).slice(4)}`;
      draft.records[at] = { cid, bytes };
      for (const op of draft.ops) if (op.cid === old.cid) op.cid = cid;
      for (const { entries } of draft.nodes) {
        for (const leaf of entries) if (leaf.value === old.cid) leaf.value = cid;
      }
      return true;
    },
  };
}

const ODD_RECORDS = [
  'fb3ff8000000000000',
  'a16178fb4000000000000000',
  'fa3fc00000',
  'f93e00',
  'f7',
  'f820',
  'a0',
  'a2616201616102',
  'a2616101616102',
  'a16000',
  'a10000',
  '62c328',
  '1801',
  'c100',
  'd82a581900017113200000000000000000000000000000000000000000',
  '9f00ff',
  '5f4100ff',
  '1bffffffffffffffff',
  '',
  '0000',
  'ff',
  '81'.repeat(100),
  `${'81'.repeat(500)}f6`,
];

const RECORD_MUTATIONS: readonly Mutation[] = [
  ofRecord('its encoding', (prng, bytes) => mutateCbor(prng, bytes), 2),
  ofRecord('its bytes', (prng, bytes) => mutateBytes(prng, bytes)),
  ofRecord('an odd one', (prng) => Buffer.from(pick(prng, ODD_RECORDS), 'hex')),
  ofRecord('any value', (prng) => anyValue(prng)),
  ofRecord('raw bytes', (prng, bytes) => mutateBytes(prng, bytes)),
  ofRecord('with a field of a prototype', (prng, bytes) =>
    encodeMap([entry('__proto__', anyValue(prng)), entry('constructor', byteString(bytes))]),
  ),
  ofRecord(
    'as large as it may be, or larger',
    (prng) => byteString(Buffer.alloc(RECORD_BYTES_MAX - 5 + prng.nextBelow(2))),
    0.02,
  ),
  {
    name: 'record: the block of one left out',
    apply: (prng, draft) => {
      if (draft.records.length === 0) return false;
      draft.records.splice(prng.nextBelow(draft.records.length), 1);
      return true;
    },
  },
];

function ofCar(name: string, change: (prng: Prng, draft: Draft) => void, weight = 1): Mutation {
  return {
    name: `car: ${name}`,
    weight,
    isOfSync: true,
    apply: (prng, draft) => {
      change(prng, draft);
      return true;
    },
  };
}

/** The number in more bytes than it needs, or as something else. */
const VARINTS: readonly ((value: number) => Buffer)[] = [
  (value) => {
    const bytes = varint(value);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) | 128, bytes.length - 1);
    return Buffer.concat([bytes, Buffer.alloc(1)]);
  },
  (value) => {
    const bytes = varint(value);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) | 128, bytes.length - 1);
    return Buffer.concat([bytes, Buffer.alloc(8, 128), Buffer.alloc(1)]);
  },
  (value) => varint(value + 1),
  (value) => varint(Math.max(0, value - 1)),
  () => varint(0),
  () => varint(35),
  () => varint(36),
  () => varint(2 ** 31),
  () => varint(2 ** 52),
  () => Buffer.alloc(9, 255),
  () => Buffer.alloc(0),
];

const CAR_MUTATIONS: readonly Mutation[] = [
  ofCar('other roots', (prng, draft) => {
    const strange = strangeCid(prng);
    draft.onRoots = ([root = '']) =>
      pick(prng, [
        [],
        [root, strange],
        [strange, root],
        [root, root],
        [strange],
        [root, `\x01\x70\x12\x20${strange.slice(4)}`],
        [`\x01\x55\x12\x20${root.slice(4)}`],
        [root.slice(4)],
      ]);
  }),
  ofCar(
    'the encoding of its header',
    (prng, draft) => {
      draft.onCarHeader = (bytes) => mutateCbor(prng, bytes);
    },
    2,
  ),
  ofCar('the bytes of its header', (prng, draft) => {
    draft.onCarHeader = (bytes) => mutateBytes(prng, bytes);
  }),
  ofCar('another header', (prng, draft) => {
    draft.onCarHeader = () =>
      encodeMap([
        entry('roots', head(MAJOR.array, 0)),
        entry('version', text(`${prng.nextBelow(3)}`)),
      ]);
  }),
  ofCar(
    'a length before a block',
    (prng, draft) => {
      const change = pick(prng, VARINTS);
      const nth = prng.nextBelow(draft.nodes.length + draft.records.length + 2);
      draft.onVarint = (value, index) => (index === nth ? change(value) : varint(value));
    },
    3,
  ),
  ofCar('cut off, or longer', (prng, draft) => {
    draft.onCar = (bytes) =>
      chance(prng, 0.5)
        ? bytes.subarray(0, prng.nextBelow(bytes.length))
        : Buffer.concat([bytes, Buffer.alloc(1 + prng.nextBelow(40), prng.nextBelow(256))]);
  }),
  ofCar(
    'its bytes',
    (prng, draft) => {
      draft.onCar = (bytes) => mutateBytes(prng, bytes);
    },
    3,
  ),
];

export const BLOCK_AND_CAR_MUTATIONS: readonly Mutation[] = [
  ...BLOCK_MUTATIONS,
  ...RECORD_MUTATIONS,
  ...CAR_MUTATIONS,
];
