/**
 * The order of system calls on the real file system, as the kernel sees it (G4, G14): every new
 * segment's bytes and name are durable before its first batch is written, and no batch is written
 * before the one in front of it is synced. Skipped where strace is missing.
 */
import { type StdioOptions, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const CHILD = fileURLToPath(new URL('persist-child.ts', import.meta.url));
const hasStrace = spawnSync('strace', ['-e', 'trace=none', 'true']).status === 0;

/** One line per call: a short process id is padded, and a call that another thread cut in two. */
function wholeCalls(trace: string): string {
  const begun = new Map<string, string>();
  const calls: string[] = [];
  for (const line of trace.split('\n')) {
    const [, pid = '', text = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const rest = /^<\.\.\. \w+ resumed>(.*)$/.exec(text)?.[1];
    if (text.endsWith('<unfinished ...>')) begun.set(pid, text.slice(0, -16).trimEnd());
    else calls.push(`${pid} ${rest === undefined ? text : `${begun.get(pid)}${rest}`}`);
  }
  return calls.join('\n');
}

/** `create`, `write`, `sync`, `dirsync` of the thread that created a segment, in order. */
function stepsOf(trace: string, logDirectory: string): string[] {
  const steps: string[] = [];
  const segments = new Set<string>();
  const directories = new Set<string>();
  const writer = /^(\d+) openat\([^\n]*\.seg", [^\n]*O_CREAT/m.exec(trace)?.[1];
  for (const line of trace.split('\n')) {
    if (!line.startsWith(`${writer} `)) continue;
    const fd = /= (\d+)$/.exec(line)?.[1] ?? '';
    const onFd = /^\d+ \w+\((\d+)/.exec(line)?.[1] ?? '';
    const isOpen = line.includes(' openat(');
    if (isOpen && line.includes('.seg"') && line.includes('O_CREAT')) {
      segments.add(fd);
      directories.delete(fd);
      steps.push('create');
    } else if (isOpen && line.includes(`"${logDirectory}"`)) {
      directories.add(fd);
      segments.delete(fd);
    } else if (isOpen) {
      segments.delete(fd);
      directories.delete(fd);
    } else if (segments.has(onFd) && /pwrite(v|64)\(/.test(line)) steps.push('write');
    else if (segments.has(onFd) && line.includes('fdatasync(')) steps.push('sync');
    else if (directories.has(onFd) && line.includes('fsync(')) steps.push('dirsync');
  }
  return steps;
}

t.test('calls that are padded or cut in two are read as one', async (t) => {
  const trace = [
    '977   openat(AT_FDCWD, "/d/1.seg", O_RDWR|O_CREAT <unfinished ...>',
    '10240 fsync(9)                         = 0',
    '977   <... openat resumed>, 0600)      = 21',
  ];
  t.match(wholeCalls(trace.join('\n')), /^977 openat\(.*O_CREAT, 0600\) +=? ?= 21$/m);
});

const skip = hasStrace ? false : 'no strace here: the order of calls cannot be seen';
t.test('G14: the order of system calls', { skip, timeout: 60_000 }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-strace-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const logDirectory = join(directory, 'log');
  const tracePath = join(directory, 'trace');
  const calls = 'trace=openat,pwritev,pwrite64,fsync,fdatasync';
  const strace = ['-f', '-qq', '-e', calls, '-o', tracePath];
  const run = [process.execPath, CHILD, logDirectory, 'last', '0'];
  // A file: a pipe that is full would fail the child's blocking writes.
  const outputPath = join(directory, 'published');
  const output = openSync(outputPath, 'w');
  const stdio: StdioOptions = ['ignore', output, 'inherit'];
  const { status } = spawnSync('strace', [...strace, ...run], { stdio });
  closeSync(output);
  t.equal(status, 0);
  t.match(readFileSync(outputPath, 'utf8'), /stopped\n$/);
  const steps = stepsOf(wholeCalls(readFileSync(tracePath, 'utf8')), logDirectory);
  const created = steps.filter((step) => step === 'create').length;
  t.ok(created >= 2, `${created} segments`);
  for (const [i, step] of steps.entries()) {
    if (step === 'create') {
      const next = steps.slice(i + 1, i + 6);
      t.same(next, ['write', 'sync', 'dirsync', 'write', 'sync']);
    }
    if (step === 'write' && steps[i + 1] !== 'sync') t.fail(`call ${i}: a write without its sync`);
  }
});
