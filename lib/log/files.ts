/**
 * The file system as the log's readers see it: never blocking, read only. Tests put the simulated
 * disk in its place. And how a reader leaves a sidecar.
 * @thread any
 */
import { type FileHandle, open, readdir, rename, writeFile } from 'node:fs/promises';

export interface ReadFile {
  /** Fills the start of `target` from `byteOffset` on; fewer bytes only at the end of the file. */
  read(target: Buffer, byteOffset: number): Promise<number>;
  /** Present size of the file. */
  fileBytes(): Promise<number>;
  close(): Promise<void>;
}

export interface LogFiles {
  open(path: string): Promise<ReadFile>;
  names(directory: string): Promise<string[]>;
}

class NodeReadFile implements ReadFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async read(target: Buffer, byteOffset: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const left = target.length - done;
      const { bytesRead } = await this.#handle.read(target, done, left, byteOffset + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  async fileBytes(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** The real one: libuv's threads do the work. */
export const realLogFiles: LogFiles = {
  async open(path: string): Promise<ReadFile> {
    return new NodeReadFile(await open(path, 'r'));
  },
  names: (directory) => readdir(directory),
};

const FILE_MODE = 0o600;

/** Puts `bytes` in place of the file, whole or not at all; for what may be lost at a power cut. */
export async function replaceFile(path: string, bytes: Buffer): Promise<void> {
  const partPath = `${path}.part`;
  await writeFile(partPath, bytes, { mode: FILE_MODE });
  await rename(partPath, path);
}
