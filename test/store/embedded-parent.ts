/** A process to kill: starts the built-in PostgreSQL in argv[2], prints its pid, stays. */
import { startEmbedded } from '../../lib/store/embedded.ts';
import { embeddedOptions } from '../helpers/postgres.ts';

const server = await startEmbedded(embeddedOptions(process.argv[2] ?? ''));
console.log(server.pid);
setInterval(() => {}, 1000);
