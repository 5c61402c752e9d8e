/** H92: bad signatures by the thousand, of a host that an operator has limited. */
import { Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { ADMIN_PASSWORD } from '../helpers/relay-process.ts';
import { signedBy } from './commit-forms.ts';
import { forged, type Made, oneDraft } from './drafts.ts';
import type { Scene } from './scene.ts';

const OTHER_KEY = new Keypair('k256', 'somebody else');
const FLOOD = 10_000;
const FLOODERS = 10;
/** Of the flood's frames so many may come in an hour, until the operator says otherwise. */
const FLOOD_ADMITTED = 4000;

/** So many bad signatures of one host, of which an hour's limit lets some through at first. */
export async function flood(scene: Scene): Promise<string> {
  const { host } = scene;
  const accounts = Array.from({ length: FLOODERS }, () => scene.account());
  const elsewhere = scene.account({ host: await scene.newHost() });
  await scene.settled();
  await changeLimits(scene, { eventsPerHour: FLOOD_ADMITTED });
  const before = await scene.observe();
  const startMs = performance.now();
  const requestsBefore = scene.directory.requestCount;
  const makes = accounts.map(({ repo }) => forged(oneDraft(repo), signedBy(OTHER_KEY)));
  for (let i = 0; i < FLOOD; i++) {
    const stamp = { seq: host.nextSeq(), time: new Date().toISOString() };
    host.sendPoison('', stamp.seq, (makes[i % FLOODERS] as Made)(stamp));
  }
  const codeCount = async (): Promise<number> =>
    (await scene.observe()).since(before, 'relay_reject_events_total:commit_signature_bad');
  const isThrottled = async (): Promise<boolean> =>
    (await scene.observe()).since(before, 'relay_upstream_pauses_total:rate') > 0;
  await until(isThrottled);
  const admitted = await codeCount();
  if (admitted > FLOOD_ADMITTED) return `${admitted} were read of ${FLOOD_ADMITTED}`;
  scene.good(elsewhere);
  await scene.settled();
  await changeLimits(scene, { eventsPerHour: null });
  for (const account of [...accounts, scene.subject, scene.neighbour]) scene.good(account);
  await scene.settled();
  const requests = scene.directory.requestCount - requestsBefore;
  const now = await scene.observe();
  const codes = now.rejectsSince(before).join(' ');
  const count = await codeCount();
  // One forced look-up of each account a minute.
  const minutes = Math.ceil((performance.now() - startMs) / 60_000);
  const lookUps = requests <= FLOODERS * minutes ? Math.min(requests, FLOODERS) : requests;
  return `DROP ${codes} ${count} times, ${lookUps} look-ups, host throttled`;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 30_000;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error('it never happened');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Limits of the scene's host by an operator; null for the usual one. */
async function changeLimits(
  { relay, host }: Scene,
  limits: Readonly<Record<string, number | null>>,
): Promise<void> {
  const auth = Buffer.from(`admin:${ADMIN_PASSWORD}`).toString('base64');
  const response = await fetch(`${relay.url}/admin/pds/changeLimits`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Basic ${auth}` },
    body: JSON.stringify({ host: host.hostname, limits }),
  });
  if (response.status !== 200) throw new Error(`limits: ${await response.text()}`);
}
