/**
 * The segments as a reader sees them: the list, kept up to date by the commit view, and a bounded
 * number of open files with their sparse indexes. A segment that retention removes is finished by
 * whoever is reading in it at that moment, and is refused to everybody after that (G7).
 * @thread any
 */
import { join } from 'node:path';
import { errorCode, errorText, RelayFault } from '../base/fault.ts';
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './descriptor.ts';
import type { LogFiles, ReadFile } from './files.ts';
import type { KnownLaters } from './scan.ts';
import { listSegments, segmentIndexOf } from './segments.ts';
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
  readonly index: SparseIndex | undefined;
  readonly laters: KnownLaters = new Map();
  #sealedBytes = -1;

  constructor(firstSeq: number, file: ReadFile, header: SegmentHeader | 'bad') {
    this.firstSeq = firstSeq;
    this.file = file;
    this.header = header;
    this.index = header === 'bad' ? undefined : new SparseIndex(header);
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

export class SegmentFiles {
  readonly #directory: string;
  readonly #files: LogFiles;
  readonly #openCountMax: number;
  /** Least recently used first. */
  readonly #open = new Map<number, Entry>();
  #firstSeqs: readonly number[] = [];
  #oldestSeq = 0;

  constructor(directory: string, files: LogFiles, openCountMax: number) {
    this.#directory = directory;
    this.#files = files;
    this.#openCountMax = openCountMax;
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

  /** Takes all segments below `oldestSeq` out of use; resolves when nobody reads in them. */
  async retire(oldestSeq: number): Promise<void> {
    this.#oldestSeq = Math.max(this.#oldestSeq, oldestSeq);
    this.#firstSeqs = this.#firstSeqs.filter((firstSeq) => firstSeq >= this.#oldestSeq);
    const retired = [...this.#open.keys()].filter((firstSeq) => firstSeq < this.#oldestSeq);
    await Promise.all(retired.map((firstSeq) => this.#close(firstSeq)));
  }

  /** Closes everything once nobody reads any more. */
  async close(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((firstSeq) => this.#close(firstSeq)));
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
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
    const got = await file.read(bytes, 0);
    const header = decodeSegmentHeader(bytes.subarray(0, got));
    if (header === 'version') {
      await file.close();
      throw unknownFormat(firstSeq);
    }
    const isNamed = header !== 'bad' && header.firstSeq === firstSeq;
    return new OpenSegment(firstSeq, file, isNamed ? header : 'bad');
  }

  #evict(): void {
    for (const firstSeq of this.#open.keys()) {
      if (this.#open.size <= this.#openCountMax) return;
      void this.#close(firstSeq);
    }
  }

  async #close(firstSeq: number): Promise<void> {
    const entry = this.#open.get(firstSeq);
    if (entry === undefined) return;
    this.#open.delete(firstSeq);
    if (entry.userCount > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      entry.onIdle = resolve;
      await promise;
    }
    const segment = await entry.opening.catch(() => undefined);
    await segment?.file.close().catch(() => {});
  }
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
