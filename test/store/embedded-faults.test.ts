/** The built-in PostgreSQL where the machine is unkind: files, rights, room. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { startEmbedded } from '../../lib/store/embedded.ts';
import { locateNativeDir, prepareBinaries } from '../../lib/store/embedded-binaries.ts';
import { isRunning } from '../../lib/store/postmaster.ts';
import { answers, clock, embeddedOptions, run, tempDir, until } from '../helpers/postgres.ts';

const isRoot = process.getuid?.() === 0;
const isLinux = process.platform === 'linux';
/** Reasons to leave a test out. */
const noMount = isRoot ? false : 'only root may mount a small disk';
const noOtherUser = isRoot && isLinux ? false : 'only root, on Linux, starts it as another user';

t.test('stale lock files of a reused process id do not stop a start', async (t) => {
  const dataDir = tempDir(t);
  const first = await startEmbedded(embeddedOptions(dataDir));
  await first.stop();
  const clusterDir = join(dataDir, 'postgres');
  // As after the kill of a container: the file names a process that is somebody else's. PostgreSQL
  // itself would believe it where that process runs as its own user.
  const ids = isRoot ? { uid: 65534, gid: 65534 } : {};
  const stranger = spawn('sleep', ['60'], { stdio: 'ignore', ...ids });
  t.teardown(() => stranger.kill('SIGKILL'));
  const lines = [stranger.pid, clusterDir, 1, 5432, clusterDir, '', '  1 2', 'ready   '];
  writeFileSync(join(clusterDir, 'postmaster.pid'), `${lines.join('\n')}\n`);
  writeFileSync(join(clusterDir, '.s.PGSQL.5432.lock'), `${lines.join('\n')}\n`);
  const second = await startEmbedded(embeddedOptions(dataDir));
  t.equal(second.isAdopted, false);
  t.ok(await answers(second.connection));

  // The same server's log, filled by what it might say in a year.
  const path = join(dataDir, 'postgres.log');
  appendFileSync(path, Buffer.alloc(5 * 1024 * 1024, '.'));
  t.ok(await until(() => statSync(path).size < 1024 * 1024), 'the log is cut');
  await second.stop();
  t.match(readFileSync(path, 'utf8'), /shut down/, 'the server writes on');
});

t.test(
  'a cluster of another major, or no cluster at all, is refused and not touched',
  async (t) => {
    const dataDir = tempDir(t);
    const clusterDir = join(dataDir, 'postgres');
    mkdirSync(clusterDir);
    writeFileSync(join(clusterDir, 'PG_VERSION'), '12\n');
    const options = embeddedOptions(dataDir);
    await t.rejects(startEmbedded(options), { code: 'embedded_version', isRetryable: false });
    rmSync(join(clusterDir, 'PG_VERSION'));
    writeFileSync(join(clusterDir, 'notes.txt'), 'mine');
    await t.rejects(startEmbedded(options), { code: 'embedded_damaged' });
    t.equal(readFileSync(join(clusterDir, 'notes.txt'), 'utf8'), 'mine');
  },
);

t.test('a directory with a long path gets its socket elsewhere', async (t) => {
  const dataDir = join(tempDir(t), 'a'.repeat(60), 'b'.repeat(60));
  mkdirSync(dataDir, { recursive: true });
  chmodSync(join(dataDir, '..'), 0o755);
  chmodSync(join(dataDir, '..', '..'), 0o755);
  const server = await startEmbedded(embeddedOptions(dataDir));
  t.notMatch(server.connection.host, dataDir);
  t.equal(statSync(server.connection.host ?? '').mode & 0o777, 0o700);
  t.ok(await answers(server.connection));
  await server.stop();
  rmSync(server.connection.host ?? '', { recursive: true });
});

t.test('below a closed directory of root', { skip: noOtherUser }, async (t) => {
  // mkdtemp makes 0700; what lies between it and the data directory is not ours to open.
  const closed = tempDir(t);
  const dataDir = join(closed, 'data');
  mkdirSync(dataDir);
  const canUnshare = (() => {
    try {
      execFileSync('unshare', ['--user', '--map-user=65534', '--', 'true'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  })();
  const starting = startEmbedded(embeddedOptions(dataDir));
  if (canUnshare) {
    const server = await starting;
    t.ok(await answers(server.connection), 'runs in a user namespace');
    await server.stop();
    chmodSync(closed, 0o755);
    const open = await startEmbedded(embeddedOptions(dataDir));
    t.equal(statSync(join(dataDir, 'postgres')).uid, 65534, 'files follow the user');
    await open.stop();
  } else {
    await t.rejects(starting, { code: 'embedded_unreachable', message: closed });
  }
  t.equal(statSync(closed).mode & 0o777, canUnshare ? 0o755 : 0o700, 'left as it was');
});

t.test('a full disk stops the server, room brings it back', { skip: noMount }, async (t) => {
  const mount = tempDir(t);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=160m,mode=755', 'tmpfs', mount]);
  } catch {
    t.pass('no right to mount here');
    return;
  }
  t.teardown(() => execFileSync('umount', ['-l', mount]));
  const server = await startEmbedded(embeddedOptions(join(mount, 'data')));
  const { pid } = server;
  const ballast = join(mount, 'ballast');
  try {
    await run(server.connection, 'CREATE TABLE kept AS SELECT 1 AS x');
    const df = execFileSync('df', ['--output=avail', '-B1', mount]).toString().split('\n');
    writeFileSync(ballast, Buffer.alloc(Number(df[1]) - 4 * 1024 * 1024));
    // Fills the write-ahead log: the server panics, and cannot recover while there is no room.
    const fill = "SELECT pg_logical_emit_message(false, '', repeat('x', 1000000))";
    await t.rejects(run(server.connection, `${fill} FROM generate_series(1, 150)`));
    t.ok(await until(() => !isRunning(pid, join(mount, 'data', 'postgres'))), 'it died');
    await clock.sleep(500);
    t.notOk(await answers(server.connection));
    truncateSync(ballast, 0);
    t.ok(await until(() => answers(server.connection)), 'answers again, G17');
    t.match(await run(server.connection, 'SELECT x FROM kept'), [{ x: 1 }]);
  } finally {
    await server.stop();
  }
});

t.test('library links are made where npm ran without scripts', async (t) => {
  const native = join(tempDir(t), 'native');
  mkdirSync(join(native, 'lib'), { recursive: true });
  const links = [{ source: 'native/lib/libx.so.1.2', target: 'native/lib/libx.so.1' }];
  writeFileSync(join(native, 'lib', 'libx.so.1.2'), 'x');
  writeFileSync(join(native, 'pg-symlinks.json'), JSON.stringify(links));
  for (let round = 0; round < 2; round++) {
    t.notOk('LD_LIBRARY_PATH' in prepareBinaries(native, join(native, 'unused')).env);
    t.equal(readlinkSync(join(native, 'lib', 'libx.so.1')), 'libx.so.1.2');
  }
  t.notOk(existsSync(join(native, 'unused')));
});

t.test('links go to the data directory where the package is read-only', async (t) => {
  const root = tempDir(t);
  const native = join(root, 'native');
  const linkDir = join(root, 'links');
  mkdirSync(join(native, 'lib'), { recursive: true });
  const links = [{ source: 'native/lib/libx.so.1.2', target: 'native/lib/libx.so.1' }];
  writeFileSync(join(native, 'lib', 'libx.so.1.2'), 'x');
  writeFileSync(join(native, 'pg-symlinks.json'), JSON.stringify(links));
  if (isRoot) {
    // Rights do not bind root; a read-only mount does.
    try {
      execFileSync('mount', ['--bind', native, native]);
      execFileSync('mount', ['-o', 'remount,bind,ro', native]);
    } catch {
      t.pass('no right to mount here');
      return;
    }
    t.teardown(() => execFileSync('umount', ['-l', native]));
  } else {
    chmodSync(join(native, 'lib'), 0o555);
    t.teardown(() => chmodSync(join(native, 'lib'), 0o755));
  }
  const { env } = prepareBinaries(native, linkDir);
  t.equal(env['LD_LIBRARY_PATH'], linkDir);
  t.equal(readFileSync(join(linkDir, 'libx.so.1'), 'utf8'), 'x');
});

t.test('a user id without a name', { skip: noOtherUser }, async (t) => {
  const ids = { uid: 54321, gid: 54321 };
  const canRunNode = spawnSync(process.execPath, ['-e', '0'], { ...ids, cwd: '/' }).status === 0;
  if (!canRunNode) {
    t.pass('node lies where that user cannot go');
    return;
  }
  const dataDir = tempDir(t);
  chownSync(dataDir, ids.uid, ids.gid);
  const script = join(import.meta.dirname, 'embedded-once.ts');
  const result = spawnSync(process.execPath, [script, dataDir], { ...ids, encoding: 'utf8' });
  const answer = /^ready \d+$|embedded_start .*DATABASE_URL/m;
  t.match(result.stdout, answer, 'works in a user namespace, or says what to do');
});

t.test('what the file system refuses is a fault with the path', async (t) => {
  const file = join(tempDir(t), 'file');
  writeFileSync(file, '');
  const refused = { code: 'embedded_start', isRetryable: false, message: file };
  await t.rejects(startEmbedded(embeddedOptions(file)), refused);
});

t.test('a platform without a package says what to do', async (t) => {
  t.throws(() => locateNativeDir('win32', 'x64'), { code: 'embedded_unsupported' });
  const missing = { code: 'embedded_missing', message: /linux-s390x.*DATABASE_URL/ };
  t.throws(() => locateNativeDir('linux', 's390x'), missing);
});
