import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import t from 'tap';
import { createLogger, type LoggerOptions } from '../../lib/logging/logger.ts';
import { LogSampler } from '../../lib/logging/sampler.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

const folder = mkdtempSync(join(tmpdir(), 'logger-'));
t.teardown(() => rmSync(folder, { recursive: true }));

type Line = Record<string, unknown>;
let fileCount = 0;

function toFile(options: Partial<LoggerOptions> = {}) {
  const path = join(folder, `${fileCount++}.log`);
  const fd = openSync(path, 'a');
  const logger = createLogger({ level: 'debug', destinationFd: fd, name: 'main', ...options });
  const lines = async (): Promise<Line[]> => {
    await setTimeout(50);
    logger.close();
    const text = readFileSync(path, 'utf8');
    return text
      .split('\n')
      .slice(0, -1)
      .map((line): Line => JSON.parse(line));
  };
  return { logger, lines };
}

t.test('a line carries level, time, thread, station and fields (C20)', async (t) => {
  const { logger, lines } = toFile({ level: 'info' });
  logger.child('upstream').warn({ host: 'pds.example', seq: 7 }, 'host paused');
  logger.debug({}, 'below the level');
  t.match(await lines(), [
    {
      level: 'warn',
      time: /^\d{4}-\d\d-\d\dT/,
      thread: 'main',
      station: 'upstream',
      host: 'pds.example',
      seq: 7,
      msg: 'host paused',
    },
  ]);
});

t.test('S42: secrets are masked, long fields cut, newlines stay inside', async (t) => {
  const { logger, lines } = toFile();
  logger.info(
    {
      adminPassword: 'hunter2',
      nested: { authorization: 'Basic hunter2' },
      url: 'postgres://relay:hunter2@db/relay',
      agent: `x\n{"level":"fatal"}${'y'.repeat(1000)}`,
      bytes: Buffer.from('hunter2'),
      many: Array.from({ length: 100 }, () => 1),
      deep: { a: { b: { c: { d: 1 } } } },
      big: 2n ** 60n,
      err: new Error('connect postgres://relay:hunter2@db', { cause: new Error('inner') }),
    },
    'using postgres://relay:hunter2@db',
  );
  const [line] = await lines();
  t.notMatch(JSON.stringify(line), /hunter2/);
  t.ok(String(line?.['agent']).length < 300);
  t.match(line, {
    adminPassword: '[redacted]',
    url: 'postgres://[redacted]@db/relay',
    bytes: '[7 bytes]',
    big: '1152921504606846976',
    err: { type: 'Error', cause: { message: 'inner' } },
  });
  t.match(line?.['many'], { length: 33 });
});

t.test('an error can be logged as it is, and no value makes the call throw', async (t) => {
  const { logger, lines } = toFile();
  const cyclic: Record<string, unknown> = {};
  cyclic['self'] = cyclic;
  logger.error(new TypeError('bad'), 'failed');
  logger.error(cyclic, 'cyclic');
  logger.error({ f: () => 1, s: Symbol('x'), n: null, u: undefined }, 'odd');
  t.match(await lines(), [{ err: { type: 'TypeError', message: 'bad' } }, { msg: 'cyclic' }, {}]);
});

t.test('into a file every line comes once and in order, also at the end', async (t) => {
  const path = join(folder, 'end.log');
  const script = `
    import { openSync } from 'node:fs';
    import { createLogger } from '${new URL('../../lib/logging/logger.ts', import.meta.url)}';
    const destinationFd = openSync('${path}', 'a');
    const logger = createLogger({ level: 'info', destinationFd, name: 'child' });
    for (let i = 0; i < 500; i++) logger.info({ i }, 'line');
    process.exit(0);`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script]);
  await once(child, 'close');
  const numbers = readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line): unknown => JSON.parse(line).i);
  t.same(new Set(numbers).size, 500);
  t.equal(numbers.length, 500, 'none twice');
});

t.test('a line longer than a pipe takes whole is cut, and says so', async (t) => {
  const { logger, lines } = toFile();
  const fields = Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [`field${i}`, 'ü'.repeat(256)]),
  );
  logger.info(fields, 'wide');
  const [line] = await lines();
  t.match(line, { cutBytes: Number, line: /^\{"level":"info"/ });
});

/** Floods its stdout, tells on stderr what it cost, goes on when its stdin says so. */
const FLOOD = `
  import { createLogger } from '${new URL('../../lib/logging/logger.ts', import.meta.url)}';
  let dropped = 0;
  const logger = createLogger({ level: 'info', destinationFd: 1, name: 'child',
    pendingBytesMax: 65536, onDrop: (n) => { dropped += n; } });
  const start = performance.now();
  for (let i = 0; i < 20000; i++) logger.info({ i, pad: 'x'.repeat(200) }, 'storm');
  const ms = performance.now() - start;
  process.stderr.write(JSON.stringify({ ms, dropped, same: dropped === logger.droppedLines() }));
  process.stdin.once('data', () => {
    setTimeout(() => logger.info({}, 'after'), 100);
    setTimeout(() => process.exit(0), 200);
  });`;
const NODE = [process.execPath, '--input-type=module-typescript', '-e', FLOOD] as const;
/** A pipe whose reader sleeps until it gets a line itself. */
const PIPED = '{ "$@"; } | { read -r _ < "$GATE"; cat; }';

/** How the child's output is connected; a socket is what node's own spawn makes. */
const OUTPUTS: Readonly<Record<string, readonly string[]>> = {
  'a socket': NODE,
  'a pipe': ['sh', '-c', PIPED, 'sh', ...NODE],
  // A container's pipe belongs to root: the child may write to it, but not open it again.
  ...(process.getuid?.() === 0
    ? {
        'a pipe of another user': [
          ...['sh', '-c', PIPED, 'sh', 'setpriv', '--reuid=10001', '--clear-groups'],
          ...NODE,
        ],
      }
    : {}),
};

for (const [output, [command = '', ...args]] of Object.entries(OUTPUTS)) {
  t.test(`${output} whose reader stalls neither blocks us nor lets us grow`, async (t) => {
    const gate = join(folder, `gate-${fileCount++}`);
    spawnSync('mkfifo', [gate]);
    const child = spawn(command, args, { env: { ...process.env, GATE: gate } });
    t.teardown(() => child.kill('SIGKILL'));
    const [report] = await once(child.stderr, 'data');
    const { ms, dropped, same } = JSON.parse(String(report));
    t.ok(dropped > 15_000, `${dropped} lines dropped`);
    t.ok(same);
    t.ok(ms < 5000, `${Math.round(ms)} ms for 20,000 lines`);
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    if (output !== 'a socket') writeFileSync(gate, 'go\n');
    child.stdin.write('go\n');
    await once(child, 'close');
    const lines = text
      .split('\n')
      .slice(0, -1)
      .map((line): Line => JSON.parse(line));
    const numbers = lines.map((line) => line['i']).filter((i) => typeof i === 'number');
    const sorted = [...numbers].sort((a, b) => a - b);
    t.same(numbers, sorted, 'what was kept is whole and in order');
    t.ok(numbers.length > 100);
    const told = lines.reduce((sum, line) => sum + Number(line['droppedLines'] ?? 0), 0);
    t.equal(told, dropped, 'the log says how much is missing');
    t.ok(
      lines.some((line) => line['msg'] === 'after'),
      'it goes on when the reader is back',
    );
  });
}

t.test('a thread that never comes back to its event loop: a file gets its lines at once', (t) => {
  const path = join(folder, 'loopless.log');
  const destinationFd = openSync(path, 'a');
  const isLoopless = true;
  const logger = createLogger({ level: 'info', destinationFd, name: 'persist', isLoopless });
  // Nothing here gives the loop a turn.
  for (let i = 0; i < 3; i++) logger.info({ i }, 'line');
  t.equal(readFileSync(path, 'utf8').split('\n').length - 1, 3);
  logger.close();
  closeSync(destinationFd);
  t.end();
});

t.test('a thread that never comes back to its event loop: a pipe gets the rest later', (t) => {
  const path = join(folder, 'loopless.fifo');
  spawnSync('mkfifo', [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const destinationFd = openSync(path, 'a');
  const isLoopless = true;
  const logger = createLogger({ level: 'info', destinationFd, name: 'persist', isLoopless });
  const target = Buffer.alloc(1 << 20);
  const countLines = (): number => {
    let text = '';
    for (;;) {
      try {
        const bytes = readSync(reader, target);
        if (bytes === 0) return text.split('\n').length - 1;
        text += target.toString('latin1', 0, bytes);
      } catch {
        return text.split('\n').length - 1;
      }
    }
  };
  const pad = 'x'.repeat(200);
  const count = 600;
  for (let i = 0; i < count; i++) logger.info({ i, pad }, 'line');
  const first = countLines();
  t.ok(first < count, `${first} lines fill the pipe`);
  let total = first;
  for (let i = 0; i < 10; i++) {
    logger.retry();
    total += countLines();
  }
  t.equal(total, count, 'the others follow');
  logger.close();
  closeSync(destinationFd);
  closeSync(reader);
  t.end();
});

t.test('a reader that is gone costs lines, not the process', async (t) => {
  const script = `
    import { createLogger } from '${new URL('../../lib/logging/logger.ts', import.meta.url)}';
    const logger = createLogger({ level: 'info', destinationFd: 1, name: 'child' });
    process.stdin.once('data', () => {
      for (let i = 0; i < 100; i++) logger.info({ i }, 'to nobody');
      process.stderr.write(String(logger.droppedLines()));
      process.exit(0);
    });`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script]);
  t.teardown(() => child.kill('SIGKILL'));
  child.stdout.destroy();
  child.stdin.write('go\n');
  const [dropped] = await once(child.stderr, 'data');
  const [code] = await once(child, 'close');
  t.equal(code, 0);
  t.ok(Number(dropped) > 90, `${dropped} lines dropped`);
});

t.test('C13: a repeated warning is sampled, with the count of those left out', async (t) => {
  const clock = new ManualClock();
  const sampler = new LogSampler(clock, 60_000, 2);
  t.equal(sampler.admit('a'), 0);
  t.equal(sampler.admit('a'), -1);
  t.equal(sampler.admit('a'), -1);
  t.equal(sampler.admit('b'), 0, 'keys are apart');
  await clock.advance(60_000);
  t.equal(sampler.admit('a'), 2);
  sampler.admit('c');
  t.equal(sampler.admit('b'), 0, 'the oldest key was forgotten to stay in bounds');
});
