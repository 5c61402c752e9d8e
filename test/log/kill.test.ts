/**
 * kill -9 at every crash point and at random moments, with the real worker on the real file system:
 * what was published is there afterwards, unaltered, and no seq is given twice (G1, G13).
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { NodeDisk } from '../../lib/log/disk.ts';
import { CRASH_POINTS } from '../../lib/log/persist-stage.ts';
import { readAll, reopen } from './log-world.ts';

const CHILD = fileURLToPath(new URL('persist-child.ts', import.meta.url));

/** Runs the child until it ends; `killAfterLines` ends it from outside. Its output is a file. */
async function runChild(directory: string, round: string, crashPoint: number, killAfterLines = 0) {
  const outputPath = join(directory, `published-${round}`);
  const output = openSync(outputPath, 'w');
  const args = [CHILD, join(directory, 'log'), round, String(crashPoint)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', output, 'inherit'] });
  const linesNow = (): string[] => readFileSync(outputPath, 'utf8').split('\n').slice(0, -1);
  const timer = setInterval(() => {
    if (killAfterLines > 0 && linesNow().length > killAfterLines) child.kill('SIGKILL');
  }, 10);
  const { promise, resolve } = Promise.withResolvers<string | null>();
  child.once('close', (_code, signal) => resolve(signal));
  const signal = await promise;
  clearInterval(timer);
  closeSync(output);
  return { lines: linesNow(), signal };
}

t.test('G13: nothing published is lost or altered by kill -9', { timeout: 60_000 }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'skyrelay-kill-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const truth = new Map<number, string>();
  const note = (lines: readonly string[]): void => {
    for (const line of lines) {
      const [seq, hash = ''] = line.split(' ');
      if (hash === '') continue;
      const known = truth.get(Number(seq));
      if (known !== undefined && known !== hash) t.fail(`G1: seq ${seq} reused`);
      truth.set(Number(seq), hash);
    }
  };
  for (const [i, point] of CRASH_POINTS.entries()) {
    const { lines, signal } = await runChild(directory, String(i), i + 1);
    t.equal(signal, 'SIGKILL', `killed ${point}`);
    t.ok(lines.length > 20, `${lines.length} events published before`);
    note(lines);
  }
  const { lines } = await runChild(directory, '9', 0, 150);
  note(lines);
  const { lines: last, signal } = await runChild(directory, 'last', 0);
  t.same([last.at(-1), signal], ['stopped', null], 'a clean stop at the end');
  note(last);
  const { reader, writer, report } = reopen(new NodeDisk(), { directory: join(directory, 'log') });
  const found = await readAll(reader);
  t.same(report.damaged, []);
  t.equal(writer.isProven, true, 'the clean stop has left a proof');
  t.equal(writer.nextSeq, found.size + 1, 'no gap');
  for (const [seq, hash] of truth) {
    const frame = found.get(seq) ?? Buffer.of();
    const isSame = createHash('sha256').update(frame).digest('hex').startsWith(hash);
    if (!isSame) t.fail(`seq ${seq} lost or altered`);
  }
  t.ok(truth.size > 300, `${truth.size} published, ${found.size} in the log`);
  await reader.close();
});
