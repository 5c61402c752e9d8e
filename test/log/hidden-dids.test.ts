/** G28: which records readers do not get, and how that is kept. */
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RelayFault } from '../../lib/base/fault.ts';
import { HIDDEN_FILE, HiddenDids } from '../../lib/log/hidden-dids.ts';
import { type DidHash, didHashOfText } from '../../lib/wire/did-hash.ts';
import { KIND_ACCOUNT, KIND_COMMIT, KIND_IDENTITY, KIND_SYNC } from '../../lib/wire/kinds.ts';
import { wrapMessage } from '../../lib/wire/ws-frame.ts';
import { tempDir } from '../helpers/postgres.ts';
import { eventFrame } from '../wire/frames.ts';

const DID = 'did:plc:z52sr6waagn6igaywwlmmmed';
const OTHER = 'did:web:other.host.net';
const KINDS = [KIND_COMMIT, KIND_SYNC, KIND_IDENTITY, KIND_ACCOUNT] as const;

function hashOf(did: string): DidHash {
  const hash = { lo: 0, hi: 0 };
  didHashOfText(did, hash);
  return hash;
}

/** A frame of the log, with other bytes around it. */
function stored(kind: number, did: string, blocksBytes = 10): Buffer {
  const field = kind === KIND_COMMIT ? 'repo' : 'did';
  const blocks = kind <= KIND_SYNC ? { blocks: Buffer.alloc(blocksBytes) } : {};
  return wrapMessage(eventFrame(kind, { [field]: did, ...blocks }));
}

/** Asks with the hash that is given, whatever the frame is. */
function isHidden(hidden: HiddenDids, kind: number, frame: Buffer, { lo, hi }: DidHash): boolean {
  const around = Buffer.concat([Buffer.alloc(7), frame, Buffer.alloc(5)]);
  return hidden.isHidden(kind, lo, hi, around, 7, 7 + frame.length);
}

t.test(
  'commits and syncs are hidden, what is said of the account is not (ID-5, AC-6)',
  async (t) => {
    const hidden = new HiddenDids(tempDir(t));
    hidden.set(DID, true);
    const seen = KINDS.filter((kind) => !isHidden(hidden, kind, stored(kind, DID), hashOf(DID)));
    t.same(seen, [KIND_IDENTITY, KIND_ACCOUNT]);
    for (const bytes of [10, 200, 70_000]) {
      t.ok(isHidden(hidden, KIND_COMMIT, stored(KIND_COMMIT, DID, bytes), hashOf(DID)), `${bytes}`);
    }
    t.notOk(isHidden(hidden, KIND_COMMIT, stored(KIND_COMMIT, OTHER), hashOf(OTHER)));
    hidden.set(DID, false);
    t.notOk(isHidden(hidden, KIND_COMMIT, stored(KIND_COMMIT, DID), hashOf(DID)));
  },
);

t.test('the DID in the frame decides, not the hash', async (t) => {
  const hidden = new HiddenDids(tempDir(t));
  hidden.set(DID, true);
  t.notOk(isHidden(hidden, KIND_COMMIT, stored(KIND_COMMIT, OTHER), hashOf(DID)), 'same hash');
  t.notOk(isHidden(hidden, KIND_COMMIT, stored(KIND_COMMIT, `${DID}x`), hashOf(DID)), 'longer');
  const { lo, hi } = hashOf(DID);
  t.notOk(isHidden(hidden, KIND_COMMIT, stored(KIND_COMMIT, DID), { lo, hi: hi ^ 1 }), 'half');
  t.notOk(isHidden(hidden, KIND_COMMIT, Buffer.from([0x82, 1, 0]), hashOf(DID)), 'no frame');
});

t.test('what is hidden survives, down to nothing', async (t) => {
  const directory = tempDir(t);
  const first = new HiddenDids(directory);
  first.load();
  t.equal(first.count, 0, 'no file is an empty one');
  first.set(DID, true);
  first.set(OTHER, true);
  first.set(OTHER, true);
  await first.save();
  const second = new HiddenDids(directory);
  second.load();
  t.same([second.count, second.has(DID), second.has(OTHER)], [2, true, true]);
  t.notOk(existsSync(join(directory, `${HIDDEN_FILE}.part`)));
  t.equal(second.replace(new Set([DID, OTHER])), false);
  t.equal(second.replace(new Set([OTHER])), true);
  t.ok(isHidden(second, KIND_SYNC, stored(KIND_SYNC, OTHER), hashOf(OTHER)));
  second.set(OTHER, false);
  // Many at once: each stands for the state at its turn, the last one is the last.
  await Promise.all([second.save(), second.save(), second.save()]);
  const third = new HiddenDids(directory);
  third.load();
  t.equal(third.count, 0);
  t.equal(readFileSync(join(directory, HIDDEN_FILE), 'latin1').trim(), '');
});

t.test('a file that cannot be read is no empty one', async (t) => {
  const directory = tempDir(t);
  mkdirSync(join(directory, HIDDEN_FILE));
  const hidden = new HiddenDids(directory);
  t.throws(() => hidden.load(), { code: 'hidden_dids', isRetryable: false });
  t.throws(() => hidden.load(), RelayFault);
});

t.test('a file that cannot be written says so, and the next one is whole', async (t) => {
  const directory = tempDir(t);
  const hidden = new HiddenDids(directory);
  hidden.set(DID, true);
  const part = join(directory, `${HIDDEN_FILE}.part`);
  mkdirSync(part);
  await t.rejects(hidden.save());
  t.notOk(existsSync(join(directory, HIDDEN_FILE)), 'nothing half done is in its place');
  rmdirSync(part);
  await hidden.save();
  t.equal(readFileSync(join(directory, HIDDEN_FILE), 'latin1'), `${DID}\n`);
});
