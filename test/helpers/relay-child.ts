/**
 * A relay in a process of its own, for tests that kill, hang or freeze it: lib/main.ts's `serve`
 * with the test seams in place. Commands come as messages over the IPC channel.
 */
import { loadConfig } from '../../lib/config/load.ts';
import { serve } from '../../lib/main.ts';
import { allocateChaos, Chaos, type ChaosAction } from '../../lib/shared/chaos.ts';

type Command =
  | { type: 'chaos'; action: ChaosAction; argument: number }
  | { type: 'block'; ms: number };

const loaded = loadConfig(process.env);
if ('problems' in loaded) {
  process.stderr.write(`${loaded.problems.join('\n')}\n`);
  process.exit(2);
}
// A write beyond the limit on file size fails, as in any Node, which ignores this signal. What the
// test runner puts into children would end them by it.
process.on('SIGXFSZ', () => {});
const memory = allocateChaos();
const chaos = new Chaos(memory);
process.on('message', (command: Command) => {
  if (command.type === 'chaos') chaos.request(command.action, command.argument);
  else {
    const endMs = performance.now() + command.ms;
    while (performance.now() < endMs);
  }
});
const seams = { chaos: memory, poisonMarker: process.env['TEST_POISON_MARKER'] ?? '' };
const relay = await serve(loaded.config, seams);
process.send?.({ type: 'started', apiPort: relay.apiPort, metricsPort: relay.metricsPort });
await relay.ready;
process.send?.({ type: 'ready' });
process.on('disconnect', () => process.exit(1));
