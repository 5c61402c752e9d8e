/** Guards on the log: what a batch is, what a start finds, what is written and in which order. */
import type { Guard } from './guard.ts';

const LAYOUT = { file: 'lib/log/descriptor.ts', test: 'test/log/descriptor.test.ts' };
const SCAN = { file: 'lib/log/scan.ts', test: 'test/log/imitation.test.ts' };
const PIECE = { file: 'lib/log/chunk.ts', test: 'test/log/imitation.test.ts' };
const RECOVERY = { file: 'lib/log/recovery.ts', test: 'test/log/recovery-files.test.ts' };
const SEGMENT = { file: 'lib/log/segment.ts', test: 'test/log/persist-stage.test.ts' };
const WRITER = { file: 'lib/log/writer.ts', test: 'test/log/persist-stage.test.ts' };
const STAGE = { file: 'lib/log/persist-stage.ts', test: 'test/log/persist-stage.test.ts' };
const BESIDE = { test: 'test/log/background-sync.test.ts' };
const BALLAST = { test: 'test/log/ballast.test.ts' };

/** What a batch must be to count. */
const BATCH_GUARDS: readonly Guard[] = [
  {
    ...LAYOUT,
    name: 'CRC of a batch header',
    find: "if (crc32(source.subarray(at, at + CRC_AT), segment.crcSeed) !== out.crc) return 'bad';",
    replace: '',
    title: 'G24: no flipped bit of a batch header',
  },
  {
    ...LAYOUT,
    name: 'CRC of a segment header',
    find: 'if (!isWhole || !Number',
    replace: 'if (!Number',
    title: 'G24: no flipped bit of a segment header',
  },
  {
    ...LAYOUT,
    name: 'salt in the magic',
    find: "if (segment.batchMagic.compare(source, at, at + MAGIC_BYTES) !== 0) return 'bad';",
    replace: '',
    title: 'G24: a batch header counts only',
  },
  {
    ...LAYOUT,
    name: 'salt in the CRC',
    find: 'const crcSeed = (fields.salt.readUInt32LE(8) ^ fields.salt.readUInt32LE(12)) >>> 0;',
    replace: 'const crcSeed = 0;',
    title: 'G24: a batch header counts only',
  },
  {
    ...LAYOUT,
    name: 'a batch stands at its own place',
    find: 'out.byteOffset === byteOffset &&',
    replace: '',
    title: 'G24: a batch header counts only',
  },
  {
    ...LAYOUT,
    name: 'a batch of an unknown version',
    find: "if (source.readUInt16LE(at + VERSION_AT) !== LOG_VERSION) return 'version';",
    replace: '',
    test: 'test/log/recovery-files.test.ts',
    title: 'G27: a whole batch of an unknown version',
  },
  {
    ...LAYOUT,
    name: 'a record of an unknown kind',
    find: "if (kind < KIND_MIN || kind > KIND_MAX) return 'kind';",
    replace: '',
    title: 'G27: a table with an unknown kind',
  },
  {
    ...SCAN,
    name: 'recovery follows the chain',
    find: '&& (crc === undefined || header.prevCrc === crc)',
    replace: '',
    title: 'G1, G24: a batch that is right but for',
  },
  {
    ...SCAN,
    name: 'recovery follows the seq',
    find: 'return header.firstSeq === seq && (crc',
    replace: 'return (crc',
    title: 'G1, G24: a batch that is right but for',
  },
  {
    ...SCAN,
    name: 'recovery believes no lone batch',
    find: 'if (later?.isLinked) {',
    replace: 'if (later) {',
    title: 'G24: salt, place and seq known, but not the chain',
  },
  {
    ...SCAN,
    name: 'a look-up believes no lone batch',
    find: 'const resume = later?.isLinked ? later : undefined;',
    replace: 'const resume = later;',
    title: 'G24: salt, place and seq known, but not the chain',
  },
  {
    ...SCAN,
    name: 'seqs of a later batch fit in between',
    find: 'if (skipped < 0 || skipped > recordCountMax(byteOffset - badByteOffset)) continue;',
    replace: '',
    title: 'G24: a batch inside a frame is not believed',
  },
  {
    ...PIECE,
    name: 'readers check the CRC of a body',
    find: 'const isWhole = bodyCrc(piece, rowsAt, end, segment) === header.bodyCrc;',
    replace: 'const isWhole = true;',
    title: 'G24: under a whole header',
  },
  {
    ...PIECE,
    name: 'readers follow the chain',
    find: '|| !isNext || !isLinked)',
    replace: '|| !isNext)',
    title: 'G1, G24: a batch that is right but for',
  },
  {
    ...PIECE,
    name: 'readers follow the seq',
    find: '|| !isNext || !isLinked)',
    replace: '|| !isLinked)',
    title: 'G1, G24: a batch that is right but for',
  },
];

/** What a start does with what it finds. Slow ones of the same file share its untouched run. */
const RECOVERY_GUARDS: readonly Guard[] = [
  {
    ...SCAN,
    name: 'recovery checks the CRC of a body',
    find: "if (bodyCrc(bytes, 0, bodyBytes, segment) !== header.bodyCrc) return 'bad';",
    replace: '',
    test: 'test/log/recovery.test.ts',
    title: 'G24: a flipped bit in an earlier batch',
  },
  {
    ...SCAN,
    name: 'more than a batch is never torn',
    find: 'if (later === undefined && fileBytes - start <= BATCH_BYTES_MAX) break;',
    replace: 'if (later === undefined) break;',
    test: 'test/log/recovery.test.ts',
    title: 'G24: more bytes than one batch',
  },
  {
    ...RECOVERY,
    name: 'a torn tail is copied',
    find: 'findings.tornCopyName = keepTorn(disk, directory, last.name, fd, scan);',
    replace: '',
    test: 'test/log/recovery.test.ts',
    title: 'G13: every truncation point',
  },
  {
    ...RECOVERY,
    name: 'a damaged segment is not gone on in',
    find: 'const isGoneOn = scan.damages.length === 0 || nextSeq === last.firstSeq;',
    replace: 'const isGoneOn = true;',
    test: 'test/log/recovery.test.ts',
    title: 'G24: a lone batch behind destroyed headers',
  },
  {
    ...RECOVERY,
    name: 'the last batch is written again',
    find: 'writeFully(disk, fd, [batch], byteOffset);',
    replace: '',
    title: 'G15: the last batch is written again',
  },
  {
    ...RECOVERY,
    name: 'the last batch is synced again',
    find: 'try {\n    disk.fdatasync(fd);\n  } catch (error) {\n    throw syncFault(error);\n  }',
    replace: '',
    title: 'G15: the last batch is written again',
  },
  {
    ...RECOVERY,
    name: 'names are synced at a start',
    find: 'disk.fsyncDir(directory);\n    disk.fsyncDir(dirname(directory));',
    replace: '',
    test: 'test/log/power.test.ts',
    title: 'G14: a restart makes names durable',
  },
  {
    ...RECOVERY,
    name: 'only an empty segment was never born',
    find: 'if (!isNamed && segment === last && segment.bytes <= SEGMENT_HEADER_BYTES) {',
    replace: 'if (!isNamed && segment === last) {',
    title: 'G24: the active segment without a header',
  },
  {
    ...RECOVERY,
    name: 'the least next seq',
    find: 'if (isGoneOn && nextSeq >= nextSeqMin) {',
    replace: 'if (isGoneOn) {',
    title: 'SQ-10, G1',
  },
  {
    name: 'one writer',
    file: 'lib/log/lock.ts',
    find: "['-n', String(FD_IN_CHILD)]",
    replace: "['-n', '-s', String(FD_IN_CHILD)]",
    test: 'test/log/lock.test.ts',
    title: 'G23: a second process',
  },
];

/** From memory to the disk. */
const WRITE_GUARDS: readonly Guard[] = [
  {
    name: 'durable, then shown',
    file: 'lib/log/background-sync.ts',
    find: 'this.#disk.fdatasync(this.#fd);',
    replace: '',
    test: 'test/log/persist-stage.test.ts',
    title: 'SQ-4, G4: write, fdatasync',
  },
  {
    ...BESIDE,
    name: 'an error of the sync thread comes back',
    file: 'lib/log/background-sync.ts',
    find: 'if (errno !== 0) throw new BackgroundSyncError(errno);',
    replace: '',
    title: 'the thread syncs',
  },
  {
    ...BESIDE,
    name: 'no sync is given to a thread that does not run',
    file: 'lib/log/writer.ts',
    find: 'return this.#options.background?.isReady === true;',
    replace: 'return this.#options.background !== undefined;',
    title: 'a thread that never came to run',
  },
  {
    ...BESIDE,
    name: 'a prepared CRC is of one segment',
    file: 'lib/log/batch.ts',
    find: 'if (this.#checked?.segment === segment) return',
    replace: 'if (this.#checked) return',
    title: 'a batch prepared for one segment',
  },
  {
    name: 'a failed sync is final',
    file: 'lib/log/append-fault.ts',
    find: "return new RelayFault('log_sync_failed', message, { isRetryable: false,",
    replace: "return new RelayFault('log_sync_failed', message, { isRetryable: true,",
    test: 'test/log/persist-stage.test.ts',
    title: 'G15: after a failed sync nothing',
  },
  {
    ...SEGMENT,
    name: 'a failed write is cut off',
    find: 'this.#isTailDirty = true;\n      this.#tryClearTail();',
    replace: 'this.#isTailDirty = true;',
    title: 'G16: a short write is gone on with',
  },
  {
    ...SEGMENT,
    name: 'what could not be cut off is, before the next write',
    find: "is not durable');\n    this.clearTail();",
    replace: "is not durable');",
    title: 'G16: partial bytes that cannot be cut off now',
  },
  {
    ...WRITER,
    name: 'what could not be cut off is, before a seal',
    find: 'old.clearTail();',
    replace: '',
    title: 'G16: partial bytes are cut off before a segment is sealed',
  },
  {
    ...SEGMENT,
    name: 'the name of a new segment is synced',
    find: 'disk.fsyncDir(directory);',
    replace: '',
    title: 'G14: file and name of a new segment',
  },
  {
    ...SEGMENT,
    name: 'the header of a new segment is synced',
    find: 'try {\n      disk.fdatasync(fd);',
    replace: 'try {',
    title: 'G14: file and name of a new segment',
  },
  {
    ...SEGMENT,
    name: 'no descriptor is no failed sync',
    find: 'if (!isSyncNotBegun(error)) throw syncFault(error);',
    replace: 'throw syncFault(error);',
    title: 'G16: a new segment whose directory cannot be opened',
  },
  {
    ...WRITER,
    name: 'sealed by size',
    find: 'const isFull = this.byteEnd + moreBytes > segmentBytesMax;',
    replace: 'const isFull = false;',
    title: 'G7: sealed before a batch',
  },
  {
    ...WRITER,
    name: 'sealed by age',
    find: 'const isOld = clock.monoMs() - this.#bornMonoMs >= segmentAgeMsMax;',
    replace: 'const isOld = false;',
    title: 'G7: sealed by size',
  },
  {
    ...STAGE,
    name: 'a batch that found no room keeps its seqs',
    find: 'if (this.#load.batch.count === 0) this.#intake.fill(this.#load);',
    replace: 'this.#intake.fill(this.#load);',
    title: 'G16: ',
  },
  {
    ...STAGE,
    name: 'an idle second proves the last batch',
    find: 'if (!log.isProven && nowMs - this.#lastBatchMs >= PROOF_IDLE_MS) this.#commit();',
    replace: '',
    title: 'G24: a second without events',
  },
  {
    ...STAGE,
    name: 'a clean stop proves the last batch',
    find: 'if (!this.#parts.log.isProven) this.#commit();',
    replace: '',
    title: 'G25: at a clean stop',
  },
  {
    ...BALLAST,
    name: 'room that was given back is held from the log',
    file: 'lib/log/ballast.ts',
    find: 'const isHolding = isGiven && freeBytes < roomMin;',
    replace: 'const isHolding = false;',
    title: 'G16: what was given back',
  },
  {
    ...BALLAST,
    name: 'the log writer keeps off what is held',
    file: 'lib/log/persist-stage.ts',
    find: 'if (this.#words.isHeld()) throw heldFault();',
    replace: '',
    title: 'G16: a full disk, from the first refused write',
  },
];

export const LOG_GUARDS: readonly Guard[] = [...BATCH_GUARDS, ...RECOVERY_GUARDS, ...WRITE_GUARDS];
