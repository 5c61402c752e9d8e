/** `blocks`: the CAR around the blocks (spec sheet §5.4). */
import { hash } from 'node:crypto';
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { type Block, encodeCar, type RepoWrite, varint } from '../../scripts/fleet/signed-repo.ts';
import { blocksOf } from '../repo/car-blocks.ts';
import { blockOf, someCid } from '../repo/tree-kit.ts';
import type { Changes } from '../verify/forge.ts';
import type { VerdictCase } from './case.ts';
import { committed, create, forged, newPath, newRecord, oneDraft } from './drafts.ts';
import { dropCase, type Input, passCase, verdictOfAll } from './inputs.ts';

/** A draft of one created record, with changes. */
function changed(changes: Changes): Input {
  return ({ repo }) => forged(oneDraft(repo), changes);
}

/** The account's next commit, made, its blocks in another order or with others among them. */
function arranged(blocks: NonNullable<Changes['blocks']>): Input {
  return ({ repo }) => forged(committed(repo, [create(newPath())]), { blocks });
}

/** The CAR with another length before its header. */
function headerLength(length: (first: number) => Buffer): Input {
  return changed({
    car: (car) => Buffer.concat([length(car.readUInt8(0)), car.subarray(1)]),
  });
}

/** The CAR with another header. */
function header(write: (out: DrislWriter, root: string) => DrislWriter): Input {
  return changed({
    car: (car) => {
      const [commit, ...others] = blocksOf(car) as [Block, ...Block[]];
      const bytes = write(new DrislWriter(), commit.cid).done();
      const sections = encodeCar([], [commit, ...others]).subarray(encodeCar([], []).length);
      return Buffer.concat([varint(bytes.length), bytes, sections]);
    },
  });
}

function appended(...bytes: readonly Uint8Array[]): Input {
  return changed({ car: (car) => Buffer.concat([car, ...bytes]) });
}

/** One bit flipped in the middle of a block of the draft: the commit, a node, the record. */
function flipped(index: number): Input {
  return changed({
    blocks: (blocks) => {
      const block = blocks.at(index) as Block;
      const bytes = Buffer.from(block.bytes);
      bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
      return blocks.with(index, { ...block, bytes });
    },
  });
}

/** The created record under a CID of another form, in the CAR only. */
function keyedBy(cid: (bytes: Uint8Array) => string): Input {
  return changed({
    blocks: (blocks) => {
      const { bytes } = blocks.at(-1) as Block;
      return [...blocks, { cid: cid(bytes), bytes }];
    },
  });
}

function digest(algorithm: string, bytes: Uint8Array): string {
  return hash(algorithm, bytes, 'latin1');
}

function spareBlocks(count: number): Block[] {
  return Array.from({ length: count }, () => blockOf(newRecord('spare')));
}

/** So many different blocks of seven bytes, which take 44 with length and CID. */
function tinyBlocks(count: number): Block[] {
  return Array.from({ length: count }, (_, i) => {
    const bytes = Buffer.alloc(7, 0x46);
    bytes.writeUInt32BE(i, 1);
    return blockOf(bytes);
  });
}

export const CAR: readonly VerdictCase[] = [
  dropCase({
    id: 'H62',
    input: 'a header length of 0, beyond the bytes, in 11 bytes, or not in its shortest form',
    specVerdict: 'DROP(car)',
    rules: 'CA-1',
    code: 'commit_car_bad',
    inputs: {
      'length 0': headerLength(() => Buffer.from([0])),
      'beyond the bytes': headerLength(() => varint(1_000_000)),
      '11 bytes': headerLength(() => Buffer.from([...Array(10).fill(0xff), 1])),
      'not shortest': headerLength((first) => Buffer.from([first | 0x80, 0])),
    },
  }),
  dropCase({
    id: 'H63',
    input: 'version 2; `roots` empty; `roots` no CIDs',
    specVerdict: 'DROP(car)',
    rules: 'CA-1, CA-2',
    code: 'commit_car_bad',
    inputs: {
      'version 2': header((out, root) =>
        out.map(2).text('roots').array(1).link(root).text('version').integer(2),
      ),
      'roots empty': header((out) => out.map(2).text('roots').array(0).text('version').integer(1)),
      'roots a text': header((out) =>
        out.map(2).text('roots').array(1).text('root').text('version').integer(1),
      ),
      'roots bytes': header((out, root) =>
        out
          .map(2)
          .text('roots')
          .array(1)
          .bytes(Buffer.from(root, 'latin1'))
          .text('version')
          .integer(1),
      ),
      'roots null': header((out) => out.map(2).text('roots').null().text('version').integer(1)),
    },
  }),
  dropCase({
    id: 'H64',
    input: 'the first root is not among the blocks',
    specVerdict: 'DROP(no-commit)',
    rules: 'CA-2',
    code: 'commit_root_missing',
    inputs: { 'left out': changed({ blocks: (blocks) => blocks.slice(1) }) },
  }),
  dropCase({
    id: 'H65',
    input: '`commit` is not the first root',
    specVerdict: 'DROP(commit-mismatch)',
    rules: 'CM-5, A20',
    code: 'commit_cid_mismatch',
    inputs: {
      'commit is another': changed({ outer: { commitCid: someCid('x') } }),
      'commit is a node': ({ repo }) => {
        const from = oneDraft(repo);
        return forged(from, { outer: { commitCid: from.parts.dataCid } });
      },
      'the root is another': changed({ roots: () => [someCid('x')] }),
      'the commit is the second root': ({ repo }) => {
        const from = oneDraft(repo);
        return forged(from, { roots: (commitCid) => [from.parts.dataCid, commitCid] });
      },
    },
  }),
  passCase({
    id: 'H66',
    input: 'two roots, the first is the commit',
    specVerdict: 'PASS',
    rules: 'CA-2, A21',
    inputs: {
      'a node second': ({ repo }) => {
        const from = committed(repo, [create(newPath())]);
        return forged(from, { roots: (commitCid) => [commitCid, from.parts.dataCid] });
      },
      'an unknown one second': ({ repo }) =>
        forged(committed(repo, [create(newPath())]), {
          roots: (commitCid) => [commitCid, someCid('x')],
        }),
    },
  }),
  passCase({
    id: 'H67',
    input: 'the commit block last; blocks in any order',
    specVerdict: 'PASS',
    rules: 'CA-3',
    inputs: {
      'commit last': arranged(([commit, ...others]) => [...others, commit as Block]),
      backwards: arranged((blocks) => blocks.toReversed()),
      'by CID': arranged((blocks) => blocks.toSorted((a, b) => (a.cid < b.cid ? -1 : 1))),
    },
  }),
  dropCase({
    id: 'H68',
    input: 'one bit flipped in the commit, a node or the record',
    specVerdict: 'DROP(block-hash)',
    rules: 'CA-4',
    code: 'commit_block_hash_bad',
    inputs: { 'the commit': flipped(0), 'a node': flipped(1), 'the record': flipped(-1) },
  }),
  dropCase({
    id: 'H69',
    input: 'a section of 35 bytes or of 0; the last block cut short; garbage behind it',
    specVerdict: 'DROP(car)',
    rules: 'CA-1',
    code: 'commit_car_bad',
    inputs: {
      'a section of 35': appended(varint(35), Buffer.from(someCid('x').slice(0, 35), 'latin1')),
      'a section of 0': appended(Buffer.from([0])),
      'a byte short': changed({ car: (car) => car.subarray(0, -1) }),
      '200 bytes short': changed({ car: (car) => car.subarray(0, -200) }),
      garbage: appended(Buffer.from('garbage')),
    },
  }),
  dropCase({
    id: 'H70',
    input: 'a block under a sha-512 CID, an identity CID or a CIDv0',
    specVerdict: 'DROP(cid)',
    rules: 'CD-1, A36',
    code: 'commit_block_cid_bad',
    inputs: {
      'sha-512': keyedBy((bytes) => `\x01\x71\x13\x40${digest('sha512', bytes)}`),
      identity: keyedBy((bytes) => {
        return `\x01\x71\x00\x20${Buffer.from(bytes).toString('latin1', 0, 32)}`;
      }),
      CIDv0: keyedBy((bytes) => `\x12\x20${digest('sha256', bytes)}`),
    },
  }),
  passCase({
    id: 'H71',
    input: 'the same block twice',
    specVerdict: 'PASS',
    rules: 'CA-3',
    inputs: {
      'the commit': arranged((blocks) => [...blocks, blocks[0] as Block]),
      'a node': arranged((blocks) => [...blocks, blocks[1] as Block]),
      all: arranged((blocks) => [...blocks, ...blocks]),
    },
  }),
  passCase({
    id: 'H72',
    input: '50 blocks that nothing links to',
    specVerdict: 'PASS',
    rules: 'CA-3',
    inputs: {
      before: arranged((blocks) => [...spareBlocks(50), ...blocks]),
      behind: arranged((blocks) => [...blocks, ...spareBlocks(50)]),
    },
  }),
  dropCase({
    id: 'H73',
    input: '45,000 blocks of forty bytes: 2 MB',
    specVerdict: 'DROP(abuse) or PASS',
    rules: 'CA-3, LM-2',
    code: 'commit_car_blocks_too_many',
    inputs: {
      'behind the others': changed({ blocks: (blocks) => [...blocks, ...tinyBlocks(45_000)] }),
      'before the others': changed({ blocks: (blocks) => [...tinyBlocks(45_000), ...blocks] }),
    },
  }),
  {
    id: 'H74',
    input: 'the old record of a delete and of an update among the blocks',
    specVerdict: 'PASS',
    rules: 'CA-3, CA-5',
    expected: 'PASS',
    run: async (scene) => {
      const old = newRecord('old');
      const path = newPath();
      scene.good(scene.subject, [create(path, old)]);
      const withOld = (write: RepoWrite): Input => {
        return ({ repo }) =>
          forged(committed(repo, [write]), { blocks: (blocks) => [...blocks, blockOf(old)] });
      };
      return verdictOfAll(scene, {
        update: withOld({ action: 'update', path, record: newRecord() }),
        delete: withOld({ action: 'delete', path }),
      });
    },
  },
];
