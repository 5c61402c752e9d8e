/** A disk in front of another one: notes the order of calls, and lets chosen calls fail. */
import type { Disk, OpenMode } from '../../lib/log/disk.ts';
import { systemError } from './sim-disk.ts';

export type Call = { readonly what: string; readonly path: string };

/** What happens at a call: nothing, an error, or a write that takes only part of the bytes. */
export type Fault = { readonly code: string } | { readonly shortBytes: number } | undefined;

/** Changes something on the disk; the calls that can fail for want of room. */
export const CHANGING = new Set(['create', 'pwritev', 'ftruncate', 'rename', 'unlink', 'mkdir']);
export const SYNCING = new Set(['fdatasync', 'fsyncDir']);
/** Leaves the disk as it is. */
export const PASSIVE = new Set(['open', 'close', 'pread', 'readdir', 'stat', 'fileBytes']);

export class FaultDisk implements Disk {
  readonly calls: Call[] = [];
  /** Asked before every call. */
  decide: (call: Call, index: number) => Fault = () => undefined;
  readonly #disk: Disk;
  readonly #paths = new Map<number, string>();

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** `what path` of every call so far that is no mere reading, without the directory. */
  trace(): string[] {
    const calls = this.calls.filter(({ what }) => what === 'open' || !PASSIVE.has(what));
    return calls.map(({ what, path }) => `${what} ${path.split('/').at(-1)}`);
  }

  open(path: string, mode: OpenMode): number {
    this.#pass(mode === 'create' ? 'create' : 'open', path);
    const fd = this.#disk.open(path, mode);
    this.#paths.set(fd, path);
    return fd;
  }

  close(fd: number): void {
    // The system closes a descriptor whatever it answers.
    this.#disk.close(fd);
    this.#pass('close', this.#paths.get(fd) ?? '');
  }

  pwritev(fd: number, buffers: readonly Buffer[], byteOffset: number): number {
    const fault = this.#pass('pwritev', this.#paths.get(fd) ?? '');
    if (fault === undefined || !('shortBytes' in fault)) {
      return this.#disk.pwritev(fd, buffers, byteOffset);
    }
    const bytes = Buffer.concat([...buffers]).subarray(0, fault.shortBytes);
    return bytes.length === 0 ? 0 : this.#disk.pwritev(fd, [bytes], byteOffset);
  }

  pread(fd: number, target: Buffer, start: number, bytes: number, byteOffset: number): number {
    this.#pass('pread', this.#paths.get(fd) ?? '');
    return this.#disk.pread(fd, target, start, bytes, byteOffset);
  }

  fdatasync(fd: number): void {
    this.#pass('fdatasync', this.#paths.get(fd) ?? '');
    this.#disk.fdatasync(fd);
  }

  ftruncate(fd: number, bytes: number): void {
    this.#pass('ftruncate', this.#paths.get(fd) ?? '');
    this.#disk.ftruncate(fd, bytes);
  }

  fsyncDir(path: string): void {
    this.#pass('fsyncDir', path);
    this.#disk.fsyncDir(path);
  }

  fileBytes(fd: number): number {
    this.#pass('fileBytes', this.#paths.get(fd) ?? '');
    return this.#disk.fileBytes(fd);
  }

  rename(from: string, to: string): void {
    this.#pass('rename', to);
    this.#disk.rename(from, to);
  }

  unlink(path: string): void {
    this.#pass('unlink', path);
    this.#disk.unlink(path);
  }

  readdir(path: string): string[] {
    this.#pass('readdir', path);
    return this.#disk.readdir(path);
  }

  stat(path: string): { readonly bytes: number } | undefined {
    this.#pass('stat', path);
    return this.#disk.stat(path);
  }

  mkdir(path: string): void {
    this.#pass('mkdir', path);
    this.#disk.mkdir(path);
  }

  #pass(what: string, path: string): Fault {
    const call = { what, path };
    const fault = this.decide(call, this.calls.length);
    this.calls.push(call);
    if (fault !== undefined && 'code' in fault) throw systemError(fault.code);
    return fault;
  }
}
