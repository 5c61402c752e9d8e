/** One writer per log (G23). */
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { LOCKED_EXIT_CODE, lockLog } from '../../lib/log/lock.ts';

const HOLDER = fileURLToPath(new URL('lock-holder.ts', import.meta.url));
const options = { processId: process.pid };

function directoryFor(t: { teardown(end: () => unknown): void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-lock-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** Another process that takes the lock; resolves with its first line, or its exit code. */
function startHolder(t: { teardown(end: () => unknown): void }, directory: string) {
  const child = spawn(process.execPath, [HOLDER, directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const { promise, resolve } = Promise.withResolvers<string>();
  const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)));
  child.stdout.once('data', (data) => resolve(String(data).trim()));
  void ended.then((code) => resolve(`exit ${code}`));
  return { child, ended, first: promise };
}

t.test('G23: a second process is refused with exit code 75, and told who holds it', async (t) => {
  const directory = directoryFor(t);
  const lock = lockLog(directory, options);
  t.equal(await startHolder(t, directory).first, `exit ${LOCKED_EXIT_CODE}`);
  t.equal(LOCKED_EXIT_CODE, 75);
  t.throws(() => lockLog(directory, options), {
    code: 'log_locked',
    isRetryable: false,
    message: new RegExp(`held by process ${process.pid}`),
  });
  lock.release();
  const second = startHolder(t, directory);
  t.equal(await second.first, 'held');
  second.child.kill('SIGKILL');
  await second.ended;
});

t.test(
  'G23: the lock is free after kill -9, and a child that lives on does not keep it',
  async (t) => {
    const directory = directoryFor(t);
    const holder = startHolder(t, directory);
    t.equal(await holder.first, 'held');
    t.throws(() => lockLog(directory, options), { code: 'log_locked' });
    holder.child.kill('SIGKILL');
    await holder.ended;
    const lock = lockLog(directory, options);
    const child = spawn('sleep', ['5'], { stdio: 'ignore', detached: true });
    lock.release();
    const again = lockLog(directory, options);
    again.release();
    child.kill();
  },
);

t.test('a machine without flock(1) is told what to install', async (t) => {
  const flockPath = '/nonexistent/flock';
  t.throws(() => lockLog(directoryFor(t), { ...options, flockPath }), {
    code: 'flock_missing',
    message: /util-linux/,
  });
});

t.test('a file system that refuses locks is a fault with its reason', async (t) => {
  const directory = directoryFor(t);
  const flockPath = join(directory, 'flock');
  writeFileSync(flockPath, '#!/bin/sh\necho "flock: No locks available" >&2\nexit 71\n');
  chmodSync(flockPath, 0o700);
  t.throws(() => lockLog(directory, { ...options, flockPath }), {
    code: 'flock_failed',
    message: /No locks available/,
  });
});
