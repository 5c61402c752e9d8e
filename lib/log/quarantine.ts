/**
 * Copies of what cannot be read, for a human: `<segment>.corrupt` of a damaged segment, once, and
 * `<segment>.<byte>.torn` of a tail that was cut off. A copy is a courtesy: without room for it the
 * log opens all the same.
 * @thread any
 */
import { join } from 'node:path';
import { MiB } from '../base/units.ts';
import { type Disk, readUpTo, unlinkIfThere, writeFully } from './disk.ts';

const COPY_BYTES = MiB;
/** A crash loop must not fill the disk with copies. */
const TORN_COPIES_MAX = 8;
const TORN_NAME = /\.torn$/;

export function corruptName(segmentFileName: string): string {
  return `${segmentFileName}.corrupt`;
}

/** Copies the whole segment, unless there is a copy already (then `isNew` is false). */
export function keepCorrupt(
  disk: Disk,
  directory: string,
  name: string,
): { readonly isNew: boolean; readonly copyName: string } {
  const copyName = corruptName(name);
  if (disk.stat(join(directory, copyName)) !== undefined) return { isNew: false, copyName };
  const fd = disk.open(join(directory, name), 'read');
  try {
    const isKept = copyTo(disk, directory, copyName, fd, 0, disk.fileBytes(fd));
    return { isNew: true, copyName: isKept ? copyName : '' };
  } finally {
    disk.close(fd);
  }
}

/** Copies the torn tail; returns the name of the copy, '' when there was no room. */
export function keepTorn(
  disk: Disk,
  directory: string,
  name: string,
  fd: number,
  tail: { readonly byteEnd: number; readonly tornBytes: number },
): string {
  const copyName = `${name}.${tail.byteEnd}.torn`;
  const byteEnd = tail.byteEnd + tail.tornBytes;
  const isKept = copyTo(disk, directory, copyName, fd, tail.byteEnd, byteEnd);
  dropOldTorn(disk, directory);
  return isKept ? copyName : '';
}

/** Under its final name only when complete. */
function copyTo(
  disk: Disk,
  directory: string,
  copyName: string,
  fromFd: number,
  byteOffset: number,
  byteEnd: number,
): boolean {
  const path = join(directory, copyName);
  const partPath = `${path}.part`;
  try {
    unlinkIfThere(disk, partPath);
    const fd = disk.open(partPath, 'create');
    try {
      const buffer = Buffer.allocUnsafeSlow(COPY_BYTES);
      for (let at = byteOffset; at < byteEnd; at += COPY_BYTES) {
        const bytes = readUpTo(disk, fromFd, buffer, Math.min(COPY_BYTES, byteEnd - at), at);
        writeFully(disk, fd, [buffer.subarray(0, bytes)], at - byteOffset);
      }
      disk.fdatasync(fd);
    } finally {
      // Also where it failed: an open file keeps its room, and that may be all there was.
      disk.close(fd);
    }
    disk.rename(partPath, path);
    disk.fsyncDir(directory);
    return true;
  } catch {
    try {
      unlinkIfThere(disk, partPath);
    } catch {
      // The next start removes it.
    }
    return false;
  }
}

function dropOldTorn(disk: Disk, directory: string): void {
  const names = disk.readdir(directory).filter((name) => TORN_NAME.test(name));
  // By number: the byte in the name is not padded, and the newest must not be the first to go.
  names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  for (const name of names.slice(0, -TORN_COPIES_MAX)) {
    unlinkIfThere(disk, join(directory, name));
  }
}
