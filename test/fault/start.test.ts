/** Starts that must fail: one clear line on stderr, the documented exit code, nothing changed on disk. */
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { run, tempDir } from '../helpers/postgres.ts';
import { RelayProcess } from '../helpers/relay-process.ts';

const MAIN = new URL('../../lib/main.ts', import.meta.url).pathname;

type Ended = { code: number | null; lines: string[] };

/** Runs the command as an operator does, to its end. */
function runMain(env: Record<string, string>, args: string[] = []): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: {
      PATH: process.env['PATH'],
      RELAY_API_BIND: '127.0.0.1:0',
      RELAY_METRICS_LISTEN: '127.0.0.1:0',
      RELAY_LOG_LEVEL: 'silent',
      ...env,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  return new Promise((resolve) => {
    child.on('close', (code) => {
      const lines = stderr.split('\n').filter((line) => line !== '' && !/: setting /.test(line));
      resolve({ code, lines });
    });
  });
}

/** Everything below a directory with sizes and times: equal means that nothing was changed. */
function snapshot(directory: string): string[] {
  return readdirSync(directory, { recursive: true })
    .map((name) => String(name))
    .filter((name) => !name.startsWith('postgres/') && !name.endsWith('LOCK'))
    .sort()
    .map((name) => {
      const { size, mtimeMs, isDirectory } = statOf(join(directory, name));
      return isDirectory ? name : `${name} ${size} ${mtimeMs}`;
    });
}

function statOf(path: string): { size: number; mtimeMs: number; isDirectory: boolean } {
  const stat = statSync(path);
  return { size: stat.size, mtimeMs: stat.mtimeMs, isDirectory: stat.isDirectory() };
}

t.test('settings that do not parse, are out of range or unknown: exit 2', async (t) => {
  const dataDir = join(tempDir(t), 'data');
  const cases: [Record<string, string>, RegExp][] = [
    [{ RELAY_SEGMENT_BYTES: 'lots' }, /RELAY_SEGMENT_BYTES/],
    [{ RELAY_VERIFY_THREADS: '99' }, /RELAY_VERIFY_THREADS.*16/],
    [{ RELAY_PLC_HSOT: 'https://plc.directory' }, /RELAY_PLC_HSOT.*RELAY_PLC_HOST/],
    [{ RELAY_API_BIND: 'nowhere' }, /RELAY_API_BIND/],
  ];
  for (const [env, line] of cases) {
    const ended = await runMain({ RELAY_DATA_DIR: dataDir, ...env });
    t.equal(ended.code, 2);
    t.equal(ended.lines.length, 1, ended.lines.join('\n'));
    t.match(ended.lines[0], line);
  }
  const all = await runMain({ RELAY_DATA_DIR: dataDir, RELAY_SEGMENT_BYTES: 'x', RELAY_NO: '1' });
  t.equal(all.lines.length, 2, 'all problems at once');
  const argument = await runMain({ RELAY_DATA_DIR: dataDir }, ['server']);
  t.equal(argument.code, 2);
  t.match(argument.lines, [/unknown argument server.*--help/]);
  t.notOk(existsSync(dataDir), 'nothing on disk');
});

t.test('a port in use: exit 69', async (t) => {
  const dataDir = join(tempDir(t), 'data');
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const taken = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  for (const name of ['RELAY_API_BIND', 'RELAY_METRICS_LISTEN']) {
    const ended = await runMain({ RELAY_DATA_DIR: dataDir, [name]: taken });
    t.equal(ended.code, 69);
    t.equal(ended.lines.length, 1, ended.lines.join('\n'));
    t.match(ended.lines[0], new RegExp(`${taken}.*(in use|EADDRINUSE)`));
  }
  t.notOk(existsSync(dataDir), 'nothing on disk');
});

t.test('a data directory that cannot be used: exit 74', async (t) => {
  const parent = tempDir(t);
  const file = join(parent, 'file');
  writeFileSync(file, '');
  const below = await runMain({ RELAY_DATA_DIR: join(file, 'data') });
  t.equal(below.code, 74);
  t.equal(below.lines.length, 1, below.lines.join('\n'));
  t.match(below.lines[0], /data directory/);
  if (process.getuid?.() !== 0) {
    const closed = join(parent, 'closed');
    mkdirSync(closed);
    chmodSync(closed, 0o500);
    const ended = await runMain({ RELAY_DATA_DIR: join(closed, 'data') });
    t.equal(ended.code, 74);
  }
});

t.test('G23 a second relay on the same data: exit 75; on the same database: exit 75', async (t) => {
  const relay = await RelayProcess.start();
  t.teardown(() => relay.dispose());
  const before = snapshot(relay.dataDir);
  const sameLog = await runMain({ RELAY_DATA_DIR: relay.dataDir });
  t.equal(sameLog.code, 75);
  t.equal(sameLog.lines.length, 1, sameLog.lines.join('\n'));
  t.match(sameLog.lines[0], /log/);
  t.same(
    snapshot(relay.dataDir).map((line) => line.split(' ')[0]),
    before.map((line) => line.split(' ')[0]),
  );
  const { readFileSync } = await import('node:fs');
  const pidFile = readFileSync(join(relay.dataDir, 'postgres', 'postmaster.pid'), 'utf8');
  const host = pidFile.split('\n')[4] ?? '';
  const url = `postgres://skyrelay@localhost/postgres?host=${host}`;
  const sameDatabase = await runMain({ RELAY_DATA_DIR: join(tempDir(t), 'd'), DATABASE_URL: url });
  t.equal(sameDatabase.code, 75, sameDatabase.lines.join('\n'));
  t.match(sameDatabase.lines.at(-1), /another relay/);
});

t.test('G27 a newer log: exit 76 with the file name, and the log is not touched', async (t) => {
  const dataDir = tempDir(t);
  const logDir = join(dataDir, 'log');
  mkdirSync(logDir);
  const header = Buffer.alloc(64, 1);
  header.write('SKYLOG\r\n', 'latin1');
  header.writeUInt16LE(2, 8);
  writeFileSync(join(logDir, '0000000000000001.seg'), header);
  const before = snapshot(logDir);
  // The log is opened without a database too.
  const DATABASE_URL = 'postgres://nobody@127.0.0.1:1/none';
  const newer = await runMain({ RELAY_DATA_DIR: dataDir, DATABASE_URL });
  t.equal(newer.code, 76, newer.lines.join('\n'));
  t.match(newer.lines.join('\n'), /0000000000000001\.seg/);
  t.same(snapshot(logDir), before);
});

t.test('G27 a newer schema: exit 76, and the log is not touched', async (t) => {
  const relay = await RelayProcess.start();
  const { dataDir } = relay;
  const pidFile = join(dataDir, 'postgres', 'postmaster.pid');
  const { readFileSync } = await import('node:fs');
  const host = readFileSync(pidFile, 'utf8').split('\n')[4] ?? '';
  const connection = { host, user: 'skyrelay', database: 'postgres' };
  t.teardown(() => relay.dispose());
  const [row] = await run<{ name: string }>(
    connection,
    "INSERT INTO schema_migrations (name, run_on) VALUES ('999999_future', now()) RETURNING name",
  );
  t.equal(row?.name, '999999_future');
  await relay.kill('SIGTERM');
  const before = snapshot(join(dataDir, 'log'));
  const newer = await runMain({ RELAY_DATA_DIR: dataDir });
  t.equal(newer.code, 76, newer.lines.join('\n'));
  t.match(newer.lines, [/999999_future|newer/]);
  t.same(snapshot(join(dataDir, 'log')), before);
});
