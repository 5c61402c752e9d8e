/**
 * A copy of the tree in which a check can be taken out: code and tests are copied, everything else
 * is linked, so that a copy takes a moment and what happens in it happens nowhere else.
 */
import { spawn } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const COPIED = ['lib', 'workers', 'scripts', 'test'];
/** Large or not ours: linked, though they lie below a folder that is copied. */
const LINKED_BELOW = ['test/fixtures', 'test/real'];
/** Of no use to a test, or ours alone. */
const LEFT_OUT = new Set(['.git', '.tap', 'dist']);
const TEST_MS_MAX = 120_000;

export type TestRun = {
  readonly isGreen: boolean;
  /** Titles of failed tests, inner ones too. */
  readonly failed: readonly string[];
  readonly output: string;
};

export class TreeCopy {
  readonly root = mkdtempSync(join(tmpdir(), 'skyrelay-guards-'));

  constructor() {
    for (const name of readdirSync(ROOT)) {
      const path = join(ROOT, name);
      if (COPIED.includes(name)) {
        const isCopied = (from: string): boolean =>
          !LINKED_BELOW.some((linked) => from === join(ROOT, linked));
        cpSync(path, join(this.root, name), { recursive: true, filter: isCopied });
      } else if (!LEFT_OUT.has(name)) symlinkSync(path, join(this.root, name));
    }
    for (const linked of LINKED_BELOW) symlinkSync(join(ROOT, linked), join(this.root, linked));
  }

  read(file: string): string {
    return readFileSync(join(this.root, file), 'utf8');
  }

  write(file: string, text: string): void {
    writeFileSync(join(this.root, file), text);
  }

  /** Runs one test file in the copy. */
  async run(test: string): Promise<TestRun> {
    const env = {
      ...process.env,
      TAP_TIMEOUT: String(TEST_MS_MAX / 1000),
      // Code of a copy is looked up by a path that never comes again.
      NODE_DISABLE_COMPILE_CACHE: '1',
    };
    const child = spawn(process.execPath, [test], {
      cwd: this.root,
      env,
      timeout: TEST_MS_MAX,
      killSignal: 'SIGKILL',
    });
    const chunks: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    }
    const isGreen = await new Promise<boolean>((resolve) => {
      child.once('close', (code) => resolve(code === 0));
    });
    const output = Buffer.concat(chunks).toString('utf8');
    const lines = output.matchAll(/^ *not ok \d+ - (.*?)(?: # .*)?$/gm);
    const failed = [...lines].map(([, title = '']) => title.replaceAll('\\#', '#'));
    return { isGreen, failed, output };
  }

  remove(): void {
    if (dirname(this.root) === tmpdir() && basename(this.root).startsWith('skyrelay-guards-')) {
      rmSync(this.root, { recursive: true, force: true });
    }
  }
}
