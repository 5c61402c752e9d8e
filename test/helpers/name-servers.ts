/**
 * For the relays of tests, with `node --import`: names are asked for at the servers of the test
 * (`TEST_NAME_SERVERS`) instead of the system's, on every thread. What comes back is judged by the
 * relay as ever.
 */
import dns from 'node:dns';

const servers = process.env['TEST_NAME_SERVERS']?.split(',') ?? [];

class TestResolver extends dns.Resolver {
  constructor(options?: dns.ResolverOptions) {
    super(options);
    if (servers.length > 0) this.setServers(servers);
  }
}

dns.Resolver = TestResolver;
