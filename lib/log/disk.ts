/**
 * The file system as the log's writer sees it: a few synchronous calls. Tests put another one in
 * its place that forgets unsynced writes, fails the n-th call or records the order of calls.
 * Calls are raw: a write may be short, an error is thrown as Node's system error.
 * `writeFully` and `readUpTo` below loop.
 * @thread any
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writevSync,
} from 'node:fs';
import { errorCode } from '../base/fault.ts';

/** `create` fails where the file exists; `write` is for a file that exists, and reads too. */
export type OpenMode = 'read' | 'write' | 'create';

export interface Disk {
  open(path: string, mode: OpenMode): number;
  close(fd: number): void;
  /** Writes at `byteOffset`; returns how many bytes the system took, which may be fewer. */
  pwritev(fd: number, buffers: readonly Buffer[], byteOffset: number): number;
  /** Reads into target[start, start + bytes); returns how many, 0 at the end of the file. */
  pread(fd: number, target: Buffer, start: number, bytes: number, byteOffset: number): number;
  fdatasync(fd: number): void;
  ftruncate(fd: number, bytes: number): void;
  /** Makes names in a directory durable: files created, renamed and unlinked. */
  fsyncDir(path: string): void;
  fileBytes(fd: number): number;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  readdir(path: string): string[];
  /** Size of the file, or undefined where there is none. */
  stat(path: string): { readonly bytes: number } | undefined;
  /** Creates the directory and its parents, unless they are there. */
  mkdir(path: string): void;
}

const FLAGS: Record<OpenMode, number> = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
};
/** Frames of others pass through here: nobody else on the machine reads or changes them (S48). */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** The real one. */
export class NodeDisk implements Disk {
  open(path: string, mode: OpenMode): number {
    return openSync(path, FLAGS[mode], FILE_MODE);
  }

  close(fd: number): void {
    closeSync(fd);
  }

  pwritev(fd: number, buffers: readonly Buffer[], byteOffset: number): number {
    return writevSync(fd, buffers, byteOffset);
  }

  pread(fd: number, target: Buffer, start: number, bytes: number, byteOffset: number): number {
    return readSync(fd, target, start, bytes, byteOffset);
  }

  fdatasync(fd: number): void {
    fdatasyncSync(fd);
  }

  ftruncate(fd: number, bytes: number): void {
    ftruncateSync(fd, bytes);
  }

  fsyncDir(path: string): void {
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  fileBytes(fd: number): number {
    return fstatSync(fd).size;
  }

  rename(from: string, to: string): void {
    renameSync(from, to);
  }

  unlink(path: string): void {
    unlinkSync(path);
  }

  readdir(path: string): string[] {
    return readdirSync(path);
  }

  stat(path: string): { readonly bytes: number } | undefined {
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats === undefined ? undefined : { bytes: stats.size };
  }

  mkdir(path: string): void {
    mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
  }
}

/**
 * Writes all of `buffers` at `byteOffset`, going on after short writes: a disk that fills up takes
 * part of a write first and fails the next one (finding 3.5.6). Throws the system's error.
 */
export function writeFully(
  disk: Disk,
  fd: number,
  buffers: readonly Buffer[],
  byteOffset: number,
): void {
  let left = buffers.filter((buffer) => buffer.length > 0);
  let at = byteOffset;
  while (left.length > 0) {
    let taken = disk.pwritev(fd, left, at);
    if (taken <= 0) throw new ShortWrite();
    at += taken;
    const rest: Buffer[] = [];
    for (const buffer of left) {
      if (taken < buffer.length) rest.push(taken > 0 ? buffer.subarray(taken) : buffer);
      taken = Math.max(0, taken - buffer.length);
    }
    left = rest;
  }
}

/** A write that took nothing and gave no error either; as good as a full disk. */
export class ShortWrite extends Error {
  override readonly name = 'ShortWrite';
  readonly code = 'ENOSPC';

  constructor() {
    super('the file system took no bytes');
  }
}

/** Reads up to `bytes` at `byteOffset` into the start of `target`; fewer only at the file's end. */
export function readUpTo(
  disk: Disk,
  fd: number,
  target: Buffer,
  bytes: number,
  byteOffset: number,
): number {
  let done = 0;
  while (done < bytes) {
    const got = disk.pread(fd, target, done, bytes - done, byteOffset + done);
    if (got === 0) break;
    done += got;
  }
  return done;
}

/** Unlinks where the name exists; any other error is thrown. */
export function unlinkIfThere(disk: Disk, path: string): void {
  try {
    disk.unlink(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}
