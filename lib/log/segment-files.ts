/**
 * The segments as a reader sees them: the list, kept up to date by the commit view, and a bounded
 * number of open files with their sparse indexes. A segment that retention removes is finished by
 * whoever is reading in it at that moment, and is refused to everybody after that (G7).
 * @thread any
 */
import { join } from 'node:path';
import { errorCode, errorText, RelayFault } from '../base/fault.ts';
import {
  type BatchHeader,
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './descriptor.ts';
import type { LogFiles, ReadFile } from './files.ts';
import { HOP_AHEAD_BYTES, hopTo, type KnownLaters, runScanAsync } from './scan.ts';
import { listSegments, segmentIndexOf } from './segments.ts';
import { decodeSidecar, encodeSidecar, sidecarBytesMax, sidecarName } from './sidecar.ts';
import { SparseIndex } from './sparse-index.ts';

/** What readers may see; the commit view has these fields. */
export type LogView = {
  readonly segmentFirstSeq: number;
  readonly byteEnd: number;
  readonly lastSeq: number;
};

/** An open segment. `header` is `bad` where it cannot be read: then nothing in it can. */
export class OpenSegment {
  readonly firstSeq: number;
  readonly file: ReadFile;
  readonly header: SegmentHeader | 'bad';
  readonly laters: KnownLaters = new Map();
  #index: SparseIndex | undefined;
  #isIndexRead = false;
  #sealedBytes = -1;

  constructor(firstSeq: number, file: ReadFile, header: SegmentHeader | 'bad') {
    this.firstSeq = firstSeq;
    this.file = file;
    this.header = header;
    this.#index = header === 'bad' ? undefined : new SparseIndex(header);
  }

  /** What is known of its places; undefined where the header is bad. */
  get index(): SparseIndex | undefined {
    return this.#index;
  }

  /** True when the index came from the sidecar: then it is believed, but not blindly. */
  get isIndexRead(): boolean {
    return this.#isIndexRead;
  }

  /** Takes the sidecar's index, if it fits, unless readers have learned the segment themselves. */
  useSidecar(bytes: Buffer, sealedBytes: number): void {
    if (this.header === 'bad') return;
    const content = decodeSidecar(bytes, this.header, sealedBytes);
    if (content === undefined) return;
    this.#index = new SparseIndex(this.header, content);
    this.#isIndexRead = true;
  }

  /** The sidecar has led astray: everything is looked up in the segment itself. */
  distrustIndex(): void {
    this.#index = this.header === 'bad' ? undefined : new SparseIndex(this.header);
    this.#isIndexRead = false;
  }

  /** How far it may be read: to the durable end, or to its own end once it is sealed. */
  async byteEnd(view: LogView): Promise<number> {
    if (this.firstSeq === view.segmentFirstSeq) return view.byteEnd;
    if (this.#sealedBytes < 0) this.#sealedBytes = await this.file.fileBytes();
    return this.#sealedBytes;
  }
}

type Entry = {
  readonly opening: Promise<OpenSegment>;
  /** Counted from before the file is open, so that it cannot be closed in between. */
  userCount: number;
  onIdle: (() => void) | undefined;
};

/** Puts a file in place of another, whole or not at all. Rejects with the system's error. */
export type KeepFile = (path: string, bytes: Buffer) => Promise<void>;

export type SegmentFilesOptions = {
  readonly directory: string;
  readonly files: LogFiles;
  readonly openCountMax: number;
  /** Given where missing sidecars are to be written. */
  readonly keepSidecar?: KeepFile | undefined;
};

export class SegmentFiles {
  readonly #directory: string;
  readonly #files: LogFiles;
  readonly #openCountMax: number;
  readonly #keepSidecar: KeepFile | undefined;
  /** The segments whose sidecar is being written, or could not be. */
  readonly #tried = new Set<number>();
  #keeping: Promise<void> = Promise.resolve();
  readonly #sidecarsRead = new WeakMap<OpenSegment, Promise<void>>();
  #isClosed = false;
  /** Least recently used first. */
  readonly #open = new Map<number, Entry>();
  /** On their way out while somebody still reads in them, by first seq. */
  readonly #closing = new Map<Promise<void>, number>();
  #firstSeqs: readonly number[] = [];
  #oldestSeq = 0;

  constructor(options: SegmentFilesOptions) {
    this.#directory = options.directory;
    this.#files = options.files;
    this.#openCountMax = options.openCountMax;
    this.#keepSidecar = options.keepSidecar;
  }

  /** First seqs of all segments that may be read, oldest first. */
  async list(view: LogView): Promise<readonly number[]> {
    if (this.#firstSeqs.at(-1) !== view.segmentFirstSeq) {
      const all = listSegments(await this.#files.names(this.#directory));
      // A segment beyond the view is being created and not yet published.
      this.#firstSeqs = all.filter(
        (firstSeq) => firstSeq >= this.#oldestSeq && firstSeq <= view.segmentFirstSeq,
      );
    }
    return this.#firstSeqs;
  }

  /** The segment behind `firstSeq`; undefined when there is none in view. */
  async after(firstSeq: number, view: LogView): Promise<number | undefined> {
    const firstSeqs = await this.list(view);
    return firstSeqs[segmentIndexOf(firstSeqs, firstSeq) + 1];
  }

  /**
   * Runs `use` with the open segment; undefined when retention has removed it. Throws a
   * `RelayFault` when the file cannot be read.
   */
  async use<Result>(
    firstSeq: number,
    use: (segment: OpenSegment) => Promise<Result>,
  ): Promise<Result | undefined> {
    const entry = this.#enter(firstSeq);
    if (entry === undefined) return undefined;
    entry.userCount++;
    try {
      return await use(await entry.opening);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw readFault(firstSeq, error);
    } finally {
      entry.userCount--;
      if (entry.userCount === 0) entry.onIdle?.();
    }
  }

  /**
   * Somebody looks for a place in a sealed segment: reads its sidecar, once, and has a missing one
   * written behind the reader's back. Never rejects.
   */
  async loadIndex(segment: OpenSegment, view: LogView): Promise<void> {
    const { firstSeq } = segment;
    if (segment.header === 'bad' || firstSeq === view.segmentFirstSeq) return;
    let reading = this.#sidecarsRead.get(segment);
    if (reading === undefined) {
      reading = this.#readSidecar(segment, view);
      this.#sidecarsRead.set(segment, reading);
    }
    await reading;
    if (this.#isClosed) return;
    if (segment.isIndexRead || this.#keepSidecar === undefined || this.#tried.has(firstSeq)) return;
    this.#tried.add(firstSeq);
    // One after the other: whoever reads in ten old segments must not start ten scans.
    const keep = () => this.use(firstSeq, (open) => this.#writeSidecar(open, view));
    this.#keeping = this.#keeping.then(keep).then(
      () => {},
      () => {},
    );
  }

  /** Resolves when the sidecars begun so far are written. */
  async settled(): Promise<void> {
    await this.#keeping;
  }

  /** Takes all segments below `oldestSeq` out of use; resolves when nobody reads in them. */
  async retire(oldestSeq: number): Promise<void> {
    this.#oldestSeq = Math.max(this.#oldestSeq, oldestSeq);
    this.#firstSeqs = this.#firstSeqs.filter((firstSeq) => firstSeq >= this.#oldestSeq);
    const retired = [...this.#open.keys()].filter((firstSeq) => firstSeq < this.#oldestSeq);
    for (const firstSeq of retired) this.#close(firstSeq);
    for (const firstSeq of this.#tried)
      if (firstSeq < this.#oldestSeq) this.#tried.delete(firstSeq);
    await this.#closed(this.#oldestSeq);
  }

  /** Closes everything once nobody reads any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.settled();
    for (const firstSeq of [...this.#open.keys()]) this.#close(firstSeq);
    await this.#closed(Number.POSITIVE_INFINITY);
  }

  #enter(firstSeq: number): Entry | undefined {
    if (firstSeq < this.#oldestSeq) return undefined;
    const known = this.#open.get(firstSeq);
    if (known !== undefined) {
      this.#open.delete(firstSeq);
      this.#open.set(firstSeq, known);
      return known;
    }
    const entry: Entry = { opening: this.#openFile(firstSeq), userCount: 0, onIdle: undefined };
    this.#open.set(firstSeq, entry);
    entry.opening.catch(() => {
      // The next reader tries again.
      if (this.#open.get(firstSeq) === entry) this.#open.delete(firstSeq);
    });
    this.#evict();
    return entry;
  }

  async #openFile(firstSeq: number): Promise<OpenSegment> {
    const name = segmentName(firstSeq);
    const file = await this.#files.open(join(this.#directory, name));
    try {
      const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
      const got = await file.read(bytes, 0);
      const header = decodeSegmentHeader(bytes.subarray(0, got));
      if (header === 'version') throw unknownFormat(firstSeq);
      const isNamed = header !== 'bad' && header.firstSeq === firstSeq;
      return new OpenSegment(firstSeq, file, isNamed ? header : 'bad');
    } catch (error) {
      // A handle that is left to the garbage collection ends the process.
      await file.close().catch(() => {});
      throw error;
    }
  }

  async #readSidecar(segment: OpenSegment, view: LogView): Promise<void> {
    try {
      const sealedBytes = await segment.byteEnd(view);
      const file = await this.#files.open(this.#sidecarPath(segment.firstSeq));
      try {
        const bytes = Buffer.alloc(Math.min(await file.fileBytes(), sidecarBytesMax(sealedBytes)));
        segment.useSidecar(bytes.subarray(0, await file.read(bytes, 0)), sealedBytes);
      } finally {
        await file.close();
      }
    } catch {
      // Missing, or not to be read: the segment itself has it all.
    }
  }

  /** From header to header through the whole segment; a damaged one is left without. */
  async #writeSidecar(segment: OpenSegment, view: LogView): Promise<void> {
    const { header, file } = segment;
    if (header === 'bad' || this.#keepSidecar === undefined || this.#isClosed) return;
    const byteEnd = await segment.byteEnd(view);
    const index = new SparseIndex(header);
    const onHop = (batch: BatchHeader): void => index.note(batch);
    const from = index.placeOf(header.firstSeq);
    const scan = hopTo(header, from, Number.MAX_SAFE_INTEGER, byteEnd, {
      onHop,
      laters: undefined,
    });
    const hop = await runScanAsync(scan, byteEnd, HOP_AHEAD_BYTES, (target, byteOffset) =>
      file.read(target, byteOffset),
    );
    const { content } = index;
    if (hop.kind !== 'end' || content.end.byteOffset !== byteEnd) return;
    const bytes = encodeSidecar(header, content);
    await this.#keepSidecar(this.#sidecarPath(segment.firstSeq), bytes);
  }

  #sidecarPath(firstSeq: number): string {
    return join(this.#directory, sidecarName(firstSeq));
  }

  #evict(): void {
    for (const firstSeq of this.#open.keys()) {
      if (this.#open.size <= this.#openCountMax) return;
      this.#close(firstSeq);
    }
  }

  #close(firstSeq: number): void {
    const entry = this.#open.get(firstSeq);
    if (entry === undefined) return;
    this.#open.delete(firstSeq);
    const closing = closeEntry(entry).finally(() => this.#closing.delete(closing));
    this.#closing.set(closing, firstSeq);
  }

  /** Resolves when no segment below `beforeSeq` is on its way out, also none that was evicted. */
  async #closed(beforeSeq: number): Promise<void> {
    const closing = [...this.#closing].filter(([, firstSeq]) => firstSeq < beforeSeq);
    await Promise.all(closing.map(([promise]) => promise));
  }
}

/** Once nobody reads in it. Never rejects. */
async function closeEntry(entry: Entry): Promise<void> {
  if (entry.userCount > 0) {
    const { promise, resolve } = Promise.withResolvers<void>();
    entry.onIdle = resolve;
    await promise;
  }
  const segment = await entry.opening.catch(() => undefined);
  await segment?.file.close().catch(() => {});
}

function readFault(firstSeq: number, error: unknown): RelayFault {
  if (error instanceof RelayFault) return error;
  const message = `${segmentName(firstSeq)}: ${errorText(error)}`;
  return new RelayFault('log_read_failed', message, { isRetryable: true, cause: error });
}

export function unknownFormat(firstSeq: number): RelayFault {
  const message = `${segmentName(firstSeq)}: unknown log version or record kind`;
  return new RelayFault('log_version_unknown', message, { isRetryable: false });
}
