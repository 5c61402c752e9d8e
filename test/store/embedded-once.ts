/** Starts the built-in PostgreSQL in argv[2], says how it went, stops it. */
import { RelayFault } from '../../lib/base/fault.ts';
import { startEmbedded } from '../../lib/store/embedded.ts';
import { embeddedOptions } from '../helpers/postgres.ts';

try {
  const server = await startEmbedded(embeddedOptions(process.argv[2] ?? ''));
  await server.stop();
  console.log(`ready ${server.pid}`);
} catch (error) {
  if (!(error instanceof RelayFault)) throw error;
  console.log(`${error.code} ${error.message}`);
}
