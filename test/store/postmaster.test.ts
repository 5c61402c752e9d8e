/** Processes of the built-in PostgreSQL: found, ended, brought back. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startEmbedded } from '../../lib/store/embedded.ts';
import { clusterProcesses, readPostmasterFile, stopCluster } from '../../lib/store/postmaster.ts';
import {
  answers,
  clock,
  embeddedOptions,
  run,
  signalAll,
  startServer,
  tempDir,
  until,
} from '../helpers/postgres.ts';

const isLinux = process.platform === 'linux';
const skip = isLinux ? false : 'processes are found by way of /proc, which only Linux has';

function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

t.test('the watcher brings a killed server back; clients only see an error', async (t) => {
  const server = await startServer(t);
  const { pid } = server;
  process.kill(pid, 'SIGKILL');
  t.ok(await until(() => server.restartCount === 1));
  t.not(server.pid, pid);
  t.ok(await answers(server.connection));
});

t.test('G25: a stop does not wait for a long recovery', { skip }, async (t) => {
  const dataDir = tempDir(t);
  const clusterDir = join(dataDir, 'postgres');
  const server = await startEmbedded(embeddedOptions(dataDir, { stopMsMax: 500 }));
  const fill = "SELECT pg_logical_emit_message(false, '', repeat('x', 100000))";
  await run(server.connection, `${fill} FROM generate_series(1, 600)`);
  process.kill(server.pid, 'SIGKILL');
  // The new server recovers; its recovery is made endless.
  const freeze = (): boolean => {
    const startups = clusterProcesses(clusterDir).filter((pid) => titleOf(pid).includes('startup'));
    return signalAll(startups, 'SIGSTOP').length > 0;
  };
  t.ok(await until(freeze), 'caught it');
  await clock.sleep(200);
  t.notOk(await answers(server.connection));
  const startMs = clock.monoMs();
  await server.stop();
  t.ok(clock.monoMs() - startMs < 10_000);
  t.same(clusterProcesses(clusterDir), []);
});

t.test('stopCluster ends a server that ignores a fast stop', async (t) => {
  const dataDir = tempDir(t);
  const clusterDir = join(dataDir, 'postgres');
  const server = await startEmbedded(embeddedOptions(dataDir));
  await server.release();
  signalAll(clusterProcesses(clusterDir), 'SIGSTOP');
  await stopCluster(server.pid, clusterDir, clock, { fastMs: 100, immediateMs: 100 });
  t.same(clusterProcesses(clusterDir), []);
});

t.test('a lock file that is not there or half written says nothing', async (t) => {
  const dir = tempDir(t);
  t.equal(readPostmasterFile(dir), undefined);
  for (const text of ['', '12\n', '12\n/x\n1\n', '0\n/x\n1\n5432\n/x\n', 'x\n/x\n1\n5432\n/x\n']) {
    writeFileSync(join(dir, 'postmaster.pid'), text);
    t.equal(readPostmasterFile(dir), undefined, JSON.stringify(text));
  }
  writeFileSync(join(dir, 'postmaster.pid'), '12\n/x\n1\n5432\n/s\n\n  1 2\nready   \n');
  const file = { pid: 12, port: 5432, socketDir: '/s', status: 'ready' };
  t.same(readPostmasterFile(dir), file);
});
