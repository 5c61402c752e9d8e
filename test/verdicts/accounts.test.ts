/** Chain, host and identity, account status: one relay for the three sections. */
import t from 'tap';
import { startDns } from '../identity/dns-server.ts';
import { AUTHORITY, INSIDE_NAMES } from './authority.cases.ts';
import { CHAIN } from './chain.cases.ts';
import { runSections } from './run-cases.ts';
import { STATUS } from './status.cases.ts';

const dns = await startDns(INSIDE_NAMES);
t.teardown(() => dns.close());
const preload = new URL('../helpers/name-servers.ts', import.meta.url);
await runSections(
  { chain: CHAIN, authority: AUTHORITY, status: STATUS },
  {
    env: {
      NODE_OPTIONS: `--import=${preload.href}`,
      TEST_NAME_SERVERS: dns.address,
      // Ordinary hosts: so many look-ups a second, ten times that at once.
      RELAY_TRUSTED_DOMAINS: 'trusted-host.net',
      RELAY_IDENTITY_RATE_PER_HOST: '10',
      // What nobody answers is given up in the time of a test, and not sooner than a busy machine
      // looks up what is there.
      RELAY_IDENTITY_HOLD: '6s',
      RELAY_IDENTITY_TIMEOUT: '2s',
    },
  },
);
