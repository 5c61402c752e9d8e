/** An external PostgreSQL that stops for a while (G17): no crash, no loss, probes green. */
import t from 'tap';
import { startEmbedded } from '../../lib/store/embedded.ts';
import { checkOutage, OUTAGE_SECONDS } from '../fault/outage.ts';
import { postmasterPid, runUnderLoad } from '../fault/under-load.ts';
import { embeddedOptions, tempDir } from '../helpers/postgres.ts';

t.test(
  `G17 an external server is stopped for ${OUTAGE_SECONDS} s`,
  { timeout: 120_000 },
  async (t) => {
    const dataDir = tempDir(t);
    let server = await startEmbedded(embeddedOptions(dataDir));
    t.teardown(() => server.stop());
    const { user, host, database } = server.connection;
    const env = { DATABASE_URL: `postgres://${user}@localhost/${database}?host=${host}` };
    const outage = {
      // Nobody starts it again, and it ends at once, as with `-m immediate`.
      begin: async () => {
        const pid = postmasterPid(dataDir);
        await server.release();
        process.kill(pid, 'SIGQUIT');
      },
      end: async () => {
        server = await startEmbedded(embeddedOptions(dataDir));
      },
    };
    await runUnderLoad(t, 32, (world) => checkOutage(t, world, outage), env);
  },
);
