/**
 * A disk in memory that keeps, per file and per name, what was synced and what was not. At a power
 * cut everything unsynced is kept, dropped or torn, at 512 bytes or at 4 KiB, by seed: each piece
 * and each name by itself, whatever was written first. `quirks` take a guard away, for the controls
 * that must fail.
 */
import { dirname } from 'node:path';
import type { Prng } from '../../lib/base/prng.ts';
import type { Disk, OpenMode } from '../../lib/log/disk.ts';
import type { LogFiles } from '../../lib/log/files.ts';
import type { RemovalFiles } from '../../lib/log/unlink.ts';

/** What a disk writes at once: a sector of an old one, a page of a new one. */
const PIECE_BYTES = [512, 4096] as const;

export type Quirks = { readonly isSyncIgnored?: boolean; readonly isDirSyncIgnored?: boolean };

type Op =
  | { readonly kind: 'write'; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'size'; readonly bytes: number };

class Inode {
  durable: Buffer = Buffer.alloc(0);
  current: Buffer = Buffer.alloc(0);
  ops: Op[] = [];

  write(at: number, bytes: Buffer): void {
    const end = at + bytes.length;
    if (end > this.current.length) {
      this.current = Buffer.concat([this.current, Buffer.alloc(end - this.current.length)]);
    }
    bytes.copy(this.current, at);
    this.ops.push({ kind: 'write', at, bytes: Buffer.from(bytes) });
  }

  resize(bytes: number): void {
    const kept = this.current.subarray(0, bytes);
    this.current = Buffer.concat([kept, Buffer.alloc(bytes - kept.length)]);
    this.ops.push({ kind: 'size', bytes });
  }

  sync(): void {
    this.durable = Buffer.from(this.current);
    this.ops = [];
  }

  /** What is on the platter when the power fails now. */
  cut(prng: Prng, pieceBytes: number): Buffer {
    // The size is what it was after one of the operations, or before all of them.
    const sizes = [this.durable.length];
    for (const op of this.ops) {
      const last = sizes.at(-1) ?? 0;
      sizes.push(op.kind === 'size' ? op.bytes : Math.max(last, op.at + op.bytes.length));
    }
    const size = sizes[prng.nextBelow(sizes.length)] ?? 0;
    const platter = Buffer.alloc(Math.max(...sizes));
    this.durable.copy(platter);
    for (const op of this.ops) {
      if (op.kind !== 'write') continue;
      const end = op.at + op.bytes.length;
      for (let at = op.at; at < end; ) {
        const next = Math.min(end, (Math.floor(at / pieceBytes) + 1) * pieceBytes);
        if (prng.nextBelow(2) === 1) op.bytes.copy(platter, at, at - op.at, next - op.at);
        at = next;
      }
    }
    return platter.subarray(0, size);
  }
}

type NameOp = { readonly name: string; readonly inode: Inode | undefined };

export class SimDisk implements Disk {
  readonly #quirks: Quirks;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #nameOps: NameOp[] = [];
  /** Directories, and whether their own names are durable. */
  readonly #directories = new Map<string, boolean>();
  readonly #open = new Map<number, Inode>();
  #nextFd = 100;

  constructor(quirks: Quirks = {}) {
    this.#quirks = quirks;
  }

  open(path: string, mode: OpenMode): number {
    let inode = this.#names.get(path);
    if (mode === 'create') {
      if (inode !== undefined) throw systemError('EEXIST');
      inode = new Inode();
      this.#setName(path, inode);
    }
    if (inode === undefined) throw systemError('ENOENT');
    const fd = this.#nextFd++;
    this.#open.set(fd, inode);
    return fd;
  }

  close(fd: number): void {
    this.#inode(fd);
    this.#open.delete(fd);
  }

  pwritev(fd: number, buffers: readonly Buffer[], byteOffset: number): number {
    const bytes = Buffer.concat([...buffers]);
    this.#inode(fd).write(byteOffset, bytes);
    return bytes.length;
  }

  pread(fd: number, target: Buffer, start: number, bytes: number, byteOffset: number): number {
    return this.#inode(fd).current.copy(target, start, byteOffset, byteOffset + bytes);
  }

  fdatasync(fd: number): void {
    const inode = this.#inode(fd);
    if (!this.#quirks.isSyncIgnored) inode.sync();
  }

  ftruncate(fd: number, bytes: number): void {
    this.#inode(fd).resize(bytes);
  }

  fsyncDir(path: string): void {
    if (this.#quirks.isDirSyncIgnored) return;
    const isInside = (name: string): boolean => dirname(name) === path;
    for (const { name, inode } of this.#nameOps) {
      if (!isInside(name)) continue;
      if (inode === undefined) this.#durableNames.delete(name);
      else this.#durableNames.set(name, inode);
    }
    this.#nameOps = this.#nameOps.filter(({ name }) => !isInside(name));
    for (const directory of this.#directories.keys()) {
      if (isInside(directory)) this.#directories.set(directory, true);
    }
  }

  fileBytes(fd: number): number {
    return this.#inode(fd).current.length;
  }

  rename(from: string, to: string): void {
    const inode = this.#names.get(from);
    if (inode === undefined) throw systemError('ENOENT');
    this.#setName(to, inode);
    this.#setName(from, undefined);
  }

  unlink(path: string): void {
    if (!this.#names.has(path)) throw systemError('ENOENT');
    this.#setName(path, undefined);
  }

  readdir(path: string): string[] {
    const prefix = `${path}/`;
    return [...this.#names.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length));
  }

  stat(path: string): { readonly bytes: number } | undefined {
    const inode = this.#names.get(path);
    return inode === undefined ? undefined : { bytes: inode.current.length };
  }

  mkdir(path: string): void {
    if (!this.#directories.has(path)) this.#directories.set(path, false);
  }

  /** The disk after the power came back; everything that was open is gone. */
  powerCut(prng: Prng): SimDisk {
    const next = new SimDisk(this.#quirks);
    const pieceBytes = PIECE_BYTES[prng.nextBelow(2)] ?? 512;
    const names = new Map(this.#durableNames);
    for (const { name, inode } of this.#nameOps) {
      if (prng.nextBelow(2) === 0) continue;
      if (inode === undefined) names.delete(name);
      else names.set(name, inode);
    }
    const lost = new Set<string>();
    for (const [directory, isDurable] of this.#directories) {
      if (!isDurable && prng.nextBelow(2) === 0) lost.add(directory);
      else next.#directories.set(directory, true);
    }
    for (const [name, inode] of names) {
      if (!lost.has(dirname(name))) next.put(name, inode.cut(prng, pieceBytes));
    }
    return next;
  }

  /** Bytes of a file as they are now. */
  content(path: string): Buffer {
    return Buffer.from(this.#names.get(path)?.current ?? Buffer.alloc(0));
  }

  /** Puts a file there, durable; for tests that plant or damage one. */
  put(path: string, bytes: Buffer): void {
    const inode = new Inode();
    inode.current = Buffer.from(bytes);
    inode.sync();
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  /** Another disk with the same files; changes to one are not seen by the other. */
  clone(): SimDisk {
    const copy = new SimDisk(this.#quirks);
    for (const [name, inode] of this.#names) copy.put(name, inode.current);
    for (const directory of this.#directories.keys()) copy.#directories.set(directory, true);
    return copy;
  }

  #setName(name: string, inode: Inode | undefined): void {
    if (inode === undefined) this.#names.delete(name);
    else this.#names.set(name, inode);
    this.#nameOps.push({ name, inode });
  }

  #inode(fd: number): Inode {
    const inode = this.#open.get(fd);
    if (inode === undefined) throw systemError('EBADF');
    return inode;
  }
}

export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/** The reading side of a simulated (or any) disk. */
export function simFiles(disk: Disk): LogFiles {
  return {
    open: async (path) => {
      const fd = disk.open(path, 'read');
      return {
        read: async (target, byteOffset) => disk.pread(fd, target, 0, target.length, byteOffset),
        fileBytes: async () => disk.fileBytes(fd),
        close: async () => disk.close(fd),
      };
    },
    names: async (directory) => disk.readdir(directory),
  };
}

/** How main removes segments from a simulated (or any) disk. */
export function simRemovalFiles(disk: Disk): RemovalFiles {
  return {
    names: async (directory) => disk.readdir(directory),
    open: async (path) => {
      const fd = disk.open(path, 'write');
      return {
        bytes: async () => disk.fileBytes(fd),
        truncate: async (bytes) => disk.ftruncate(fd, bytes),
        close: async () => disk.close(fd),
      };
    },
    unlink: async (path) => disk.unlink(path),
    syncDirectory: async (path) => disk.fsyncDir(path),
  };
}
