/** Guards on what readers of the log are shown, and on what retention takes from them. */
import type { Guard } from './guard.ts';

const FILES = { file: 'lib/log/segment-files.ts', test: 'test/log/reader.test.ts' };
const READER = { file: 'lib/log/reader.ts', test: 'test/log/reader.test.ts' };
const RETENTION = { file: 'lib/log/retention.ts', test: 'test/log/retention.test.ts' };
const REMOVAL = { file: 'lib/log/unlink.ts', test: 'test/log/unlink.test.ts' };
const HIDDEN = { file: 'lib/log/hidden-dids.ts', test: 'test/log/hidden-dids.test.ts' };
const COMMITS = { file: 'lib/shared/commit-cell.ts', test: 'test/shared/shared.test.ts' };
const TAIL = { file: 'lib/shared/tail-ring.ts', test: 'test/shared/shared.test.ts' };

export const READ_GUARDS: readonly Guard[] = [
  {
    ...COMMITS,
    name: 'a commit fills the cell that nobody reads',
    find: '((Atomics.load(words, 0) + 1) & 1)',
    replace: '(Atomics.load(words, 0) & 1)',
    title: 'a filled cell is invisible',
  },
  {
    ...COMMITS,
    name: 'a commit read is looked at again',
    find: 'if (Atomics.load(words, 0) !== count) continue;',
    replace: '',
    title: 'a commit that comes while a cell is read',
  },
  {
    ...TAIL,
    name: 'what is overwritten is told first',
    find: 'Atomics.store(this.#words, 0, below);',
    replace: '',
    title: 'the tail ring says what is gone',
  },
  {
    ...TAIL,
    name: 'a copy of the tail is looked at again',
    find: 'Atomics.add(this.#fence, 0, 0);\n    return this.has(from);',
    replace: 'return true;',
    title: 'a copy that is overtaken',
  },
  {
    ...TAIL,
    name: 'a copy of the tail is done before it is looked at',
    find: 'Atomics.add(this.#fence, 0, 0);\n    return',
    replace: 'return',
    title: 'a copy out of the tail ring is looked at again',
  },
  {
    ...FILES,
    name: 'readers end where it is durable',
    find: 'if (this.firstSeq === view.segmentFirstSeq) return view.byteEnd;',
    replace: '',
    title: 'G4: a reader never goes beyond',
  },
  {
    ...FILES,
    name: 'nobody starts in a removed segment',
    find: 'if (firstSeq < this.#oldestSeq) return undefined;',
    replace: '',
    title: 'G7: retention ends no step',
  },
  {
    ...FILES,
    name: 'who reads in a removed segment finishes',
    find: 'if (entry.userCount > 0) {',
    replace: 'if (entry.userCount < 0) {',
    title: 'G7: retention waits for a reader',
  },
  {
    ...READER,
    name: 'the next segment continues this one',
    find: 'return from.nextSeq <= prevLastSeq ? damagedUpTo(prevLastSeq, next) : next;',
    replace: 'return next;',
    title: 'G24: a sealed segment that was cut short',
  },
  {
    ...READER,
    name: 'what retention took is no end',
    find: 'if (position.nextSeq < this.#options.oldestSeq()) return undefined;',
    replace: '',
    title: 'G7: retention ends no step',
  },
  {
    ...READER,
    name: 'a cursor of the log is exclusive',
    find: 'const nextSeq = Math.max(cursor + 1, this.#options.oldestSeq());',
    replace: 'const nextSeq = Math.max(cursor, this.#options.oldestSeq());',
    title: 'G5: every cursor',
  },
  {
    ...READER,
    name: 'a sidecar is not believed blindly',
    find: "if (hop.kind !== 'lost' || !segment.isIndexRead) return hop;",
    replace: 'return hop;',
    test: 'test/log/sidecar.test.ts',
    title: 'one with right checksums and wrong places',
  },
  {
    ...HIDDEN,
    name: 'the DID decides what is hidden',
    find: ' && hidden.did.equals(did)',
    replace: '',
    title: 'the DID in the frame decides',
  },
  {
    ...HIDDEN,
    name: 'only content is hidden',
    find: 'if (kind !== KIND_COMMIT && kind !== KIND_SYNC) return false;',
    replace: '',
    title: 'commits and syncs are hidden',
  },
  {
    ...HIDDEN,
    name: 'no start without the takedowns',
    find: "if (errorCode(error) === 'ENOENT') return;",
    replace: 'return;',
    title: 'a file that cannot be read is no empty one',
  },
  {
    ...RETENTION,
    name: 'nothing beyond the checkpoint goes',
    find: 'if (segment.lastSeq > checkpointSeq) break;',
    replace: '',
    title: 'G10: never beyond the checkpoint',
  },
  {
    ...RETENTION,
    name: 'a clock that jumps costs one segment',
    find: 'isDue = hasComeOfAge || extraLeft > 0;',
    replace: 'isDue = true;',
    title: 'G21: a clock a year ahead',
  },
  {
    name: 'the active segment stays',
    file: 'lib/log/writer.ts',
    find: "assert(count <= this.#sealed.length, 'only sealed segments can be dropped');",
    replace: '',
    test: 'test/log/retention.test.ts',
    title: 'G7: the active segment is never given up',
  },
  {
    ...REMOVAL,
    name: 'only what lies below the oldest seq goes',
    find: 'firstSeqs.filter((firstSeq) => firstSeq < oldestSeq)',
    replace: 'firstSeqs',
    title: 'G7: removes what lies below',
  },
  {
    ...REMOVAL,
    name: 'a removed name is synced',
    find: 'await files.syncDirectory(directory);',
    replace: '',
    title: 'G7: a name is gone for good',
  },
];
