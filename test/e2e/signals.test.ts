/** G25: what a first and a second signal do to a relay. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { rawClient } from '../broadcast/world.ts';
import { RelayProcess } from '../helpers/relay-process.ts';

/** A relay with a consumer that never answers a close: its stop takes seconds. */
async function startBusy(t: { teardown(done: () => Promise<void>): void }): Promise<RelayProcess> {
  const relay = await RelayProcess.start();
  const consumer = await rawClient(relay.apiPort);
  await new Promise((resolve) => consumer.once('data', resolve));
  t.teardown(async () => {
    consumer.destroy();
    await relay.dispose();
  });
  return relay;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

t.test('one Ctrl-C that comes twice, as under npm, stops in order', async (t) => {
  const relay = await startBusy(t);
  relay.child.kill('SIGINT');
  await pause(30);
  relay.child.kill('SIGINT');
  t.same(await relay.exited, { code: 0, signal: null });
});

t.test('a second one ends at once', async (t) => {
  const relay = await startBusy(t);
  relay.child.kill('SIGINT');
  await pause(500);
  relay.child.kill('SIGINT');
  t.same(await relay.exited, { code: 130, signal: null });
});

t.test('G25 a signal while the start waits for the database ends it in order', async (t) => {
  // Nobody listens there, and without a log the relay must wait for its database.
  const relay = RelayProcess.launch({
    env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' },
  });
  t.teardown(() => relay.dispose());
  while (!relay.stderr.includes('RELAY_DATA_DIR') && !existsSync(join(relay.dataDir, 'log'))) {
    await pause(50);
  }
  await pause(500);
  relay.child.kill('SIGTERM');
  const startMs = performance.now();
  t.same(await relay.exited, { code: 0, signal: null });
  const tookMs = Math.round(performance.now() - startMs);
  t.ok(tookMs < 15_000, `ended after ${tookMs} ms`);
});
