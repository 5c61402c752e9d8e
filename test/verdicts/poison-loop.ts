/**
 * A host that sends the same poison first thing on every connection, whatever cursor it is asked
 * for, for as long as it runs.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { HostileMessage, Scene } from './scene.ts';

/** The least wait before a redial: half of the first step of the back-off. */
const REDIAL_MS_MIN = 500;
const GIVE_UP_MS = 60_000;

/** Goes on until the operator can see it, then heals the host and expects its good frames. */
export async function poisonForEver(scene: Scene, poison: HostileMessage): Promise<string> {
  const { host, subject } = scene;
  const bystander = scene.account({ host: await scene.newHost() });
  await scene.settled();
  host.keepNewest(0);
  host.isIgnoringCursors = true;
  const connectsBefore = host.cursorsSeen.length;
  const startMs = performance.now();
  scene.raw(poison);
  let isFlagged = false;
  while (!isFlagged && performance.now() - startMs < GIVE_UP_MS) {
    scene.good(bystander);
    await wait(50);
    isFlagged = (await statusOf(scene)) === 'offline';
  }
  const redials = host.cursorsSeen.length - connectsBefore;
  const redialsMax = 1 + (performance.now() - startMs) / REDIAL_MS_MIN;
  const isUnaffected = bystander.host.cursorsSeen.length === 1;
  // What the others sent has arrived, before the host is healed.
  await scene.settled();
  host.keepNewest(0);
  scene.good(subject);
  await scene.settled();
  return [
    redials <= redialsMax ? 'bounded redials' : `${redials} redials`,
    isFlagged ? 'host flagged' : 'host not flagged',
    isUnaffected ? 'other hosts unaffected' : 'other hosts affected',
  ].join(', ');
}

async function statusOf({ relay, host }: Scene): Promise<string> {
  const query = `hostname=${encodeURIComponent(host.hostname)}`;
  const response = await fetch(`${relay.url}/xrpc/com.atproto.sync.getHostStatus?${query}`);
  const answer = (await response.json()) as { status?: string };
  return answer.status ?? '';
}
