/** Small disks for tests that fill, freeze or spoil one: tmpfs and ext4 in a file. Needs root. */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { tempDir } from './postgres.ts';

type Teardown = { teardown(callback: () => unknown): unknown };

const EXT4_OPTIONS = 'loop,errors=remount-ro';

function command(name: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(name, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${name} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

/** False where a test may mount; else why it may not. */
export function whyNoMount(): string | false {
  if (process.getuid?.() !== 0) return 'only root may mount';
  const probe = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']);
  return probe.status === 0 ? false : 'no file system can be mounted here';
}

export class Volume {
  readonly path: string;
  readonly #image: string;
  #filler = 0;

  private constructor(path: string, image = '') {
    this.path = path;
    this.#image = image;
  }

  /** `options` as of mount: `size=160m,nr_inodes=2000`. */
  static tmpfs(t: Teardown, options: string): Volume {
    const path = tempDir(t, 'skyrelay-volume-');
    command('mount', ['-t', 'tmpfs', '-o', options, 'skyrelay-test', path]);
    t.teardown(() => command('umount', ['-l', path]));
    return new Volume(path);
  }

  /** Journaled, as most real ones. */
  static ext4(t: Teardown, bytes: number): Volume {
    const directory = tempDir(t, 'skyrelay-image-');
    const path = tempDir(t, 'skyrelay-volume-');
    const image = join(directory, 'image');
    closeSync(openSync(image, 'w'));
    truncateSync(image, bytes);
    command('mkfs.ext4', ['-q', '-F', image]);
    command('mount', ['-o', EXT4_OPTIONS, image, path]);
    t.teardown(() => command('umount', ['-l', path]));
    return new Volume(path, image);
  }

  /** As after an error of the medium: the kernel takes no more writes. Only of ext4. */
  breakDown(): void {
    const device = command('findmnt', ['-n', '-o', 'SOURCE', this.path]).trim();
    writeFileSync(`/sys/fs/ext4/${basename(device)}/trigger_fs_error`, 'test');
  }

  /** Unmounts, checks and mounts again; nobody may use it. */
  repair(): void {
    command('umount', [this.path]);
    // 1: errors were corrected.
    const { status } = spawnSync('e2fsck', ['-fy', this.#image]);
    if (status !== 0 && status !== 1) throw new Error(`e2fsck: ${status}`);
    command('mount', ['-o', EXT4_OPTIONS, this.#image, this.path]);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  get freeInodes(): number {
    return statfsSync(this.path).ffree;
  }

  /** Takes all the room that there is, as another program does. Again: what has come free. */
  fill(leaveBytes = 0): void {
    const fd = openSync(join(this.path, `filler-${this.#filler++}`), 'w');
    const chunk = Buffer.alloc(64 * 1024, 1);
    try {
      while (this.freeBytes > leaveBytes) {
        const wanted = Math.min(chunk.length, this.freeBytes - leaveBytes);
        if (writeSync(fd, chunk, 0, wanted) === 0) break;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(fd);
    }
  }

  /** Takes all names that there are. */
  fillInodes(): void {
    try {
      for (; ; this.#filler++) closeSync(openSync(join(this.path, `filler-${this.#filler}`), 'w'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }

  /** Gives back all that was taken. */
  empty(): void {
    for (; this.#filler >= 0; this.#filler--) {
      rmSync(join(this.path, `filler-${this.#filler}`), { force: true });
    }
    this.#filler = 0;
  }
}
