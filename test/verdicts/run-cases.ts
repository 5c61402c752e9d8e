/**
 * Runs the cases of a section, or of several, against one relay, each in a scene of its own, and
 * compares the sections of docs/VERDICTS.md. `VERDICTS=H3,H15` runs only those, without the page.
 */
import t from 'tap';
import { checkSame } from '../helpers/stream-checker.ts';
import type { VerdictCase, VerdictRow } from './case.ts';
import { checkSection, type Section } from './table.ts';
import { World } from './world.ts';

export type RunOptions = {
  /** Settings of the relay. */
  readonly env?: Record<string, string>;
};

type Cases = Readonly<Partial<Record<Section, readonly VerdictCase[]>>>;

export function runCases(
  section: Section,
  cases: readonly VerdictCase[],
  options: RunOptions = {},
): Promise<void> {
  return runSections({ [section]: cases }, options);
}

/** Several sections share the relay: its start is the dear part. */
export async function runSections(sections: Cases, options: RunOptions = {}): Promise<void> {
  const wanted = process.env['VERDICTS']?.split(',');
  const world = await World.start(options.env);
  t.teardown(() => world.stop());
  const found = new Map<Section, VerdictRow[]>();
  for (const [section, cases] of Object.entries(sections)) {
    const chosen = cases.filter((one) => wanted === undefined || wanted.includes(one.id));
    found.set(section as Section, await runEach(world, chosen));
  }
  await t.test('what was sent to one consumer stands in the log for all', async (t) => {
    t.same(world.consumer.violations, []);
    const again = await world.readAgain();
    t.equal(again.received.length, world.consumer.received.length);
    t.same(checkSame(world.consumer.received, again.received), []);
  });
  if (wanted !== undefined) return;
  for (const [section, rows] of found) checkSection(t, section, rows);
}

async function runEach(world: World, cases: readonly VerdictCase[]): Promise<VerdictRow[]> {
  const rows: VerdictRow[] = [];
  for (const { run, ...row } of cases) {
    await t.test(`${row.id} ${row.input}`, { timeout: 90_000 }, async (t) => {
      const got = await run(await world.newScene());
      rows.push({ ...row, got });
      t.equal(got, row.expected);
    });
  }
  return rows;
}
