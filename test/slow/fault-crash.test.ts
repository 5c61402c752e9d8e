/** The process ends in the middle of anything, not by its own will (G1, G9, G13): nothing is lost. */
import t, { type Test } from 'tap';
import { runUnderLoad, type World, wait } from '../fault/under-load.ts';
import { MemoryGroup, whyNoMemoryGroup } from '../helpers/memory-group.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { checkSame, eventually } from '../helpers/stream-checker.ts';

const ROUNDS = 2;
const WAIT_MS = 30_000;
const SQUEEZE_MS = 20;

/** As an orchestrator does, on the same data. */
async function restart(world: World): Promise<void> {
  const { dataDir } = world.relay;
  const env = { RELAY_PLC_HOST: world.fleet.directory.url };
  world.relay = await RelayProcess.start({ dataDir, env });
  const before = world.live.received.length;
  await eventually(() => world.live.received.length > before + 100, WAIT_MS);
}

/** The log tells whoever comes later what those who were there got, and no frame was rejected. */
async function checkAfter(t: Test, { relay, live }: World): Promise<void> {
  const replay = new RecordingConsumer(() => relay.streamUrl, 0);
  t.teardown(() => replay.stop());
  t.ok(await eventually(() => replay.lastSeq >= live.lastSeq, WAIT_MS), 'the log is whole');
  t.equal(replay.received.length, live.received.length);
  t.same(replay.violations, []);
  t.same(checkSame(live.received, replay.received), []);
  t.same(await relay.rejects(), {});
}

for (const signal of ['SIGSEGV', 'SIGABRT', 'SIGQUIT'] as const) {
  t.test(`G1 G9 G13 a crash by ${signal}`, { timeout: 120_000 }, async (t) => {
    const world = await runUnderLoad(t, 90, async (world) => {
      for (let round = 0; round < ROUNDS; round++) {
        const exit = await world.relay.kill(signal);
        t.equal(exit.signal, signal);
        await restart(world);
      }
    });
    await checkAfter(t, world);
  });
}

const skip = whyNoMemoryGroup();

t.test('G1 G9 G13 killed for want of memory', { skip, timeout: 120_000 }, async (t) => {
  const world = await runUnderLoad(t, 91, async (world) => {
    for (let round = 0; round < ROUNDS; round++) {
      const group = new MemoryGroup(t);
      const { child, exited } = world.relay;
      group.add(child.pid ?? 0);
      let isOver = false;
      void exited.then(() => {
        isOver = true;
      });
      for (let i = 0; i < WAIT_MS / SQUEEZE_MS && !isOver; i++) {
        group.squeeze();
        await wait(SQUEEZE_MS);
      }
      t.ok(isOver, 'killed');
      t.equal((await exited).signal, 'SIGKILL');
      t.equal(group.killCount, 1, 'by the kernel');
      await restart(world);
    }
  });
  await checkAfter(t, world);
});
