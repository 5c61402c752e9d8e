/** The wall clock of a process, set while it runs, by libfaketime. Its monotonic clock goes on. */
import { existsSync, globSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from './postgres.ts';

const [LIBRARY = ''] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1');

/** False where the library is installed; else why there is no such clock. */
export function whyNoFakeClock(): string | false {
  return existsSync(LIBRARY) ? false : 'libfaketime is not installed';
}

export class FakeClock {
  readonly #path: string;

  constructor(t: Parameters<typeof tempDir>[0]) {
    this.#path = join(tempDir(t, 'skyrelay-clock-'), 'offset');
    this.set('+0');
  }

  /** What a process gets whose clock this is to be. */
  get env(): Record<string, string> {
    return {
      LD_PRELOAD: LIBRARY,
      FAKETIME_TIMESTAMP_FILE: this.#path,
      FAKETIME_NO_CACHE: '1',
      // One is the name of old versions. Without it no timer would ever fire again.
      DONT_FAKE_MONOTONIC: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    };
  }

  /** Jumps so far from the real time: `+0`, `-1h`, `+1y`. Nobody reads half of it. */
  set(offset: string): void {
    writeFileSync(`${this.#path}.new`, `${offset}\n`);
    renameSync(`${this.#path}.new`, this.#path);
  }
}
