/**
 * What must hold while PostgreSQL is gone and once it is back (G17). For TEST_OUTAGE_SECONDS, 12 of
 * them by default; `npm run test:fault` asks for 30.
 */
import type { Test } from 'tap';
import { type World, wait } from './under-load.ts';

export const OUTAGE_SECONDS = Number(process.env['TEST_OUTAGE_SECONDS'] ?? 12);

/** The outage itself: probes and consumers all the while, then back within 5 s. */
export async function checkOutage(
  t: Test,
  world: World,
  outage: { begin(): Promise<void>; end(): Promise<void> },
): Promise<void> {
  const { relay, live } = world;
  const probe = async (path: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${relay.metricsPort}${path}`)).status;
  const before = live.received.length;
  await outage.begin();
  const endMs = performance.now() + OUTAGE_SECONDS * 1000;
  let isDownSeen = false;
  while (performance.now() < endMs) {
    t.equal(await probe('/_healthz'), 200, 'live');
    t.equal(await probe('/_readyz'), 200, 'ready: a database is reported, not required');
    if ((await relay.metric('relay_store_up')) === 0) isDownSeen = true;
    await wait(1000);
  }
  t.ok(isDownSeen, 'the outage was noticed');
  t.ok(live.received.length > before, 'accounts in memory were served meanwhile');
  t.equal(relay.child.exitCode, null, 'no crash');
  const upMs = performance.now();
  await outage.end();
  t.ok(await untilCheckpoint(world), 'checkpoints go on');
  const tookMs = performance.now() - upMs;
  t.ok(tookMs < 5000, `recovered after ${Math.round(tookMs)} ms`);
}

/** Everything durable now is in PostgreSQL too. */
export async function untilCheckpoint({ relay }: World): Promise<boolean> {
  const durable = await relay.metric('relay_log_durable_seq');
  for (let i = 0; i < 400; i++) {
    if ((await relay.metric('relay_store_checkpoint_seq')) >= durable) return true;
    await wait(50);
  }
  return false;
}
