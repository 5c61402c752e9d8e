import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startEmbedded } from '../../lib/store/embedded.ts';
import { clusterProcesses, isRunning } from '../../lib/store/postmaster.ts';
import {
  answers,
  clock,
  embeddedOptions,
  run,
  signalAll,
  tempDir,
  until,
} from '../helpers/postgres.ts';

const isRoot = process.getuid?.() === 0;
const isLinux = process.platform === 'linux';

t.test('a first start, a stop and a second start keep the data', async (t) => {
  const dataDir = tempDir(t);
  const first = await startEmbedded(embeddedOptions(dataDir));
  t.equal(first.isAdopted, false);
  await run(first.connection, 'CREATE TABLE kept (x integer)');
  t.match(await run(first.connection, 'SHOW listen_addresses'), [{ listen_addresses: '' }]);
  if (isLinux) {
    const stat = readFileSync(`/proc/${first.pid}/stat`, 'latin1').split(' ');
    t.equal(Number(stat[5]), first.pid, 'leads a session of its own');
    const uid = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${first.pid}/status`, 'latin1'))?.[1];
    t.equal(uid, isRoot ? '65534' : `${process.getuid?.()}`, 'never root');
  }
  t.equal(statSync(join(dataDir, 'postgres')).mode & 0o777, 0o700);
  await first.stop();
  t.same(clusterProcesses(join(dataDir, 'postgres')), [], 'nothing is left running');
  await first.stop();

  const second = await startEmbedded(embeddedOptions(dataDir));
  t.same(await run(second.connection, 'SELECT count(*)::int AS n FROM kept'), [{ n: 0 }]);
  await second.stop();
});

t.test('G13: kill -9 of the relay leaves the server, the next start adopts it', async (t) => {
  const dataDir = tempDir(t);
  const script = join(import.meta.dirname, 'embedded-parent.ts');
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  const parent = spawn(process.execPath, [script, dataDir], { detached: true, stdio: [...stdio] });
  const [chunk] = await once(parent.stdout, 'data');
  const pid = Number(String(chunk));
  // Ctrl-C reaches the whole process group of the terminal.
  process.kill(-(parent.pid ?? 0), 'SIGINT');
  await once(parent, 'exit');
  t.ok(isRunning(pid, join(dataDir, 'postgres')), 'survives Ctrl-C');

  const again = spawn(process.execPath, [script, dataDir], { stdio: [...stdio] });
  const [line] = await once(again.stdout, 'data');
  t.equal(Number(String(line)), pid, 'adopted by the next process');
  again.kill('SIGKILL');
  await once(again, 'exit');
  t.ok(isRunning(pid, join(dataDir, 'postgres')), 'survives kill -9 of the relay');

  const server = await startEmbedded(embeddedOptions(dataDir));
  t.match(server, { pid, isAdopted: true });
  t.ok(await answers(server.connection));
  process.kill(pid, 'SIGKILL');
  t.ok(await until(() => server.restartCount === 1), 'an adopted server is watched, too');
  await server.stop();
  t.same(clusterProcesses(join(dataDir, 'postgres')), []);
});

t.test('a left-over server that is frozen or has other settings is replaced', async (t) => {
  const dataDir = tempDir(t);
  const clusterDir = join(dataDir, 'postgres');
  const first = await startEmbedded(embeddedOptions(dataDir));
  await first.release();
  const other = await startEmbedded(embeddedOptions(dataDir, { connectionsMax: 20 }));
  t.equal(other.isAdopted, false, 'other settings');
  t.match(await run(other.connection, 'SHOW max_connections'), [{ max_connections: '30' }]);
  await other.release();

  signalAll(clusterProcesses(clusterDir), 'SIGSTOP');
  const startMs = clock.monoMs();
  const options = { connectionsMax: 20, stopMsMax: 200, probeMs: 200 };
  const third = await startEmbedded(embeddedOptions(dataDir, options));
  t.equal(third.isAdopted, false, 'a frozen one is not adopted');
  t.ok(await answers(third.connection));
  t.ok(clock.monoMs() - startMs < 10_000);

  // A frozen child outlives its postmaster and holds the shared memory.
  await third.release();
  const child = clusterProcesses(clusterDir).find((pid) => pid !== third.pid) ?? 0;
  process.kill(child, 'SIGSTOP');
  process.kill(third.pid, 'SIGKILL');
  const fourth = await startEmbedded(embeddedOptions(dataDir, options));
  t.ok(await answers(fourth.connection), 'orphans are ended');
  await fourth.stop();
});
