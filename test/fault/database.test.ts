/** The embedded PostgreSQL gone under load (G17): no crash, no loss, consumers served, probes green. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { signalAll } from '../helpers/postgres.ts';
import { checkOutage, OUTAGE_SECONDS, untilCheckpoint } from './outage.ts';
import { postmasterPid, runUnderLoad, wait } from './under-load.ts';

/** A process and its children, as long as they live. */
function family(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return [pid, ...(children === '' ? [] : children.split(' ').map(Number))];
}

t.test(
  `G17 the embedded server is frozen for ${OUTAGE_SECONDS} s`,
  { timeout: 120_000 },
  async (t) => {
    await runUnderLoad(t, 31, async (world) => {
      const pids = family(postmasterPid(world.relay.dataDir));
      await checkOutage(t, world, {
        begin: async () => void signalAll(pids, 'SIGSTOP'),
        end: async () => void signalAll(pids, 'SIGCONT'),
      });
    });
  },
);

t.test(
  'G17 the embedded server ends at once: it is started again',
  { timeout: 120_000 },
  async (t) => {
    await runUnderLoad(t, 33, async (world) => {
      const { relay, live } = world;
      const pid = postmasterPid(relay.dataDir);
      process.kill(pid, 'SIGQUIT');
      const before = live.received.length;
      await wait(2000);
      t.ok(await untilCheckpoint(world), 'checkpoints go on');
      t.not(postmasterPid(relay.dataDir), pid);
      t.ok(live.received.length > before);
    });
  },
);
