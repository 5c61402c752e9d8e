import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { type Clock, SystemClock } from '../../lib/base/clock.ts';
import type { LivenessData } from '../../lib/health/liveness-data.ts';
import { LivenessProxy } from '../../lib/health/liveness-proxy.ts';
import { type Logger, silentLogger } from '../../lib/logging/logger.ts';
import { METRIC_PAGE_BYTES, MetricWriter } from '../../lib/metrics/slots.ts';
import { allocateShared } from '../../lib/shared/memory.ts';
import { allocateWords, PersistState, Phase, Words } from '../../lib/shared/regions.ts';
import { ManualClock } from '../helpers/manual-clock.ts';

type Answer = { status: number; body: string; headers: Record<string, unknown>; ms: number };

function get(port: number, path: string, method = 'GET'): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const startMs = performance.now();
  const sent = request({ host: '127.0.0.1', port, path, method, agent: false }, (response) => {
    let body = '';
    response.on('data', (chunk) => {
      body += chunk;
    });
    response.on('end', () => {
      const ms = performance.now() - startMs;
      resolve({ status: response.statusCode ?? 0, body, headers: response.headers, ms });
    });
  });
  sent.on('error', reject);
  sent.end();
  return promise;
}

type Rig = { proxy: LivenessProxy; words: Words; data: LivenessData; metrics: MetricWriter };

function rig(
  t: Test,
  changes: Partial<LivenessData> = {},
  entry?: URL,
  logger: Logger = silentLogger,
  clock: Clock = new SystemClock(),
): Rig {
  const words = allocateWords();
  const data: LivenessData = {
    version: 1,
    words,
    shardCount: 1,
    pages: [
      { thread: 'main', memory: allocateShared(METRIC_PAGE_BYTES) },
      { thread: 'liveness', memory: allocateShared(METRIC_PAGE_BYTES) },
    ],
    listen: { host: '127.0.0.1', port: 0 },
    logLevel: 'silent',
    ...changes,
  };
  const metrics = new MetricWriter(new Float64Array(data.pages[0]?.memory ?? new ArrayBuffer(0)));
  const proxy = new LivenessProxy(data, clock, logger, metrics, entry);
  t.teardown(() => proxy.stop());
  return { proxy, words: new Words(words), data, metrics };
}

t.test('probes and metrics of the thread', async (t) => {
  const { proxy, words, metrics } = rig(t);
  const port = await proxy.start();

  const starting = await get(port, '/_readyz');
  t.equal(starting.status, 503, 'not ready before main says so');
  t.match(JSON.parse(starting.body), { live: true, ready: false, phase: 'starting' });

  words.writer('phase').publish(Phase.running);
  words.writer('persistState').publish(PersistState.running);
  t.equal((await get(port, '/_readyz')).status, 200);
  t.equal((await get(port, '/_healthz?verbose=1')).status, 200);

  metrics.add('relay_upstream_frames_total', 3);
  const scraped = await get(port, '/metrics');
  t.match(scraped.headers['content-type'], /^text\/plain/);
  t.match(scraped.body, /^relay_upstream_frames_total 3$/m);
  t.match(scraped.body, /^relay_process_ready 1$/m);

  for (const path of ['/', '/healthz', '/_healthz/', '/debug/pprof/', '/%5fhealthz']) {
    t.equal((await get(port, path)).status, 404, path);
  }
  const posted = await get(port, '/_healthz', 'POST');
  t.match(posted, { status: 405, headers: { allow: 'GET, HEAD', connection: 'close' } });
  const head = await get(port, '/_healthz', 'HEAD');
  t.match(head, { status: 200, body: '' });
});

t.test('S11: a client that never ends its request is cut off', async (t) => {
  const { proxy } = rig(t);
  const socket = connect(await proxy.start(), '127.0.0.1');
  t.teardown(() => socket.destroy());
  const startMs = performance.now();
  socket.write('GET /_healthz HTTP/1.1\r\nHost: x\r\n');
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  await once(socket, 'close');
  t.match(answer, /^HTTP\/1.1 408/);
  t.ok(performance.now() - startMs < 20_000);
});

t.test('S12: long headers and too many connections are refused', async (t) => {
  const { proxy } = rig(t);
  const port = await proxy.start();
  const long = connect(port, '127.0.0.1');
  t.teardown(() => long.destroy());
  long.write(`GET /_healthz HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(9000)}\r\n\r\n`);
  const [answer] = await once(long, 'data');
  t.match(String(answer), /^HTTP\/1.1 431/);

  const sockets = Array.from({ length: 300 }, () => connect(port, '127.0.0.1'));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
  });
  let closed = 0;
  for (const socket of sockets) socket.on('close', () => closed++).on('error', () => {});
  while (closed < 40) await setTimeout(20);
  t.ok(closed < 100, `${closed} of 300 were refused, the others are served`);
});

t.test('a thread that does not start in time fails the start', async (t) => {
  const entry = new URL('data:text/javascript,setInterval(() => {}, 1000)');
  const clock = new ManualClock();
  const { proxy } = rig(t, {}, entry, silentLogger, clock);
  const started = proxy.start();
  started.catch(() => {});
  await clock.advance(19_000);
  await clock.advance(2000);
  await t.rejects(started, { message: /does not start/ });
});

t.test('an address that is taken fails the start with one clear line', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const address = other.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const { proxy } = rig(t, { listen: { host: '127.0.0.1', port } });
  await t.rejects(proxy.start(), {
    code: 'liveness_failed',
    message: new RegExp(`cannot serve probes on 127.0.0.1:${port}: .*EADDRINUSE`),
  });
});

t.test('a thread of another build fails the start', async (t) => {
  const { proxy } = rig(t, { version: 2 as 1 });
  await t.rejects(proxy.start(), { message: /different builds/ });
});

t.test('a dead thread is replaced, on the same port', async (t) => {
  // A stand-in that says it listens, tells the port it was given, and dies.
  const source = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { port } = workerData.listen;
    parentPort.postMessage({ type: 'listening', port: port === 0 ? 4321 : port });
    if (port === 0) setTimeout(() => { throw new Error('boom'); }, 20);
    else setInterval(() => {}, 1000);`;
  const entry = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
  const events = new EventEmitter();
  const logger: Logger = {
    ...silentLogger,
    error: (fields, message) => void events.emit('line', fields, message),
  };
  const { proxy, metrics } = rig(t, {}, entry, logger);
  const died = once(events, 'line');
  t.equal(await proxy.start(), 4321);
  const [fields, message] = await died;
  t.equal(message, 'liveness thread is replaced');
  t.match(fields, { problem: /boom/ });
  t.equal(metrics.read('relay_thread_restarts_total:liveness'), 1);
  await setTimeout(500);
  t.equal(metrics.read('relay_thread_restarts_total:liveness'), 1, 'the successor stays');
});

t.test('G22, A2, A9: main blocks for 3 s: probes answer, the stall is told', async (t) => {
  const script = fileURLToPath(new URL('blocking-main.ts', import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let out = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  let errors = '';
  let isStallTold = false;
  child.stderr.on('data', (chunk) => {
    errors += chunk;
    if (errors.includes('main stalled for 1 s')) isStallTold ||= !out.includes('unblocked');
  });
  while (!out.includes('port ')) await setTimeout(20);
  const port = Number(/port (\d+)/.exec(out)?.[1]);
  const calm: number[] = [];
  for (let i = 0; i < 20; i++) calm.push((await get(port, '/_healthz')).ms);

  child.stdin.write('block\n');
  const blocked: Answer[] = [];
  while (!out.includes('unblocked')) {
    blocked.push(await get(port, '/_healthz'));
    await setTimeout(20);
  }
  t.ok(blocked.length > 20, `${blocked.length} probes while main was blocked`);
  t.ok(blocked.every(({ status }) => status === 200));
  // Had an answer needed main, it would have taken seconds.
  const worstMs = Math.max(...blocked.map(({ ms }) => ms));
  t.ok(worstMs < 1000, `worst ${Math.round(worstMs)} ms, calm ${Math.max(...calm)} ms`);
  t.ok(isStallTold, 'the line came during the stall');
  const ages = blocked.map(({ body }): number => JSON.parse(body).main_age_ms);
  t.ok(Math.max(...ages) > 2000, 'the body shows it');
  while (!errors.includes('main runs again after')) await setTimeout(20);
  child.stdin.end();
});
