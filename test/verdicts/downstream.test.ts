import t from 'tap';
import { startDns } from '../identity/dns-server.ts';
import { DOWNSTREAM, FIRST_SEQ, INSIDE_ZONE } from './downstream.cases.ts';
import { runCases } from './run-cases.ts';

const dns = await startDns(INSIDE_ZONE);
t.teardown(() => dns.close());
const preload = new URL('../helpers/name-servers.ts', import.meta.url);
await runCases('downstream', DOWNSTREAM, {
  env: {
    NODE_OPTIONS: `--import=${preload.href}`,
    TEST_NAME_SERVERS: dns.address,
    RELAY_INITIAL_SEQ_NUMBER: `${FIRST_SEQ}`,
    RELAY_CONSUMER_STALL: '2s',
  },
});
