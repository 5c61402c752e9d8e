/**
 * The short form of `npm run fuzz`: some thousand inputs of one seed past our verifier and two
 * that are not ours. FUZZ_COUNT and FUZZ_SEED choose more and others. And that a verifier which is
 * wrong, throws or is slow would not get through.
 */
import { createHash } from 'node:crypto';
import t from 'tap';
import { Campaign } from './campaign.ts';
import { BATCH_INPUTS, type FuzzInput } from './input.ts';
import { ourVerdict, VERDICT_CPU_MS_MAX } from './ours.ts';
import { inputOf } from './saved-input.ts';
import { emptyTally, merge, type Tally } from './tally.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? 1);
const COUNT = Number(process.env['FUZZ_COUNT'] ?? 2 * BATCH_INPUTS);

async function ran(campaign: Campaign, count: number): Promise<Tally> {
  const tally = emptyTally();
  for (let from = 0; from < count; from += BATCH_INPUTS) {
    merge(tally, await campaign.run(from, Math.min(count, from + BATCH_INPUTS)));
  }
  return tally;
}

t.test(`CB, CD, CA, CM, SG, MS, A9: the same verdicts as others (seed ${SEED})`, async (t) => {
  const tally = await ran(await Campaign.start(SEED), COUNT);
  t.same(
    tally.failures.map(({ index, what }) => `${index}: ${what}`),
    [],
  );
  t.equal(tally.inputs, COUNT);
  const { pass, ...refusals } = tally.verdicts;
  const theirs = pass?.judges['@atcute'] ?? { passed: 0, refused: 0 };
  t.ok(theirs.passed > COUNT / 20, `${theirs.passed} changed messages are right all the same`);
  t.ok((pass?.judges['@atproto']?.passed ?? 0) > COUNT / 40, 'for @atproto, too');
  const codes = Object.keys(refusals);
  t.ok(codes.length > 25, `${codes.length} ways to refuse`);
  for (const deep of ['commit_mst_bad', 'commit_inversion_failed', 'commit_op_mismatch']) {
    t.ok((refusals[deep]?.inputs ?? 0) > COUNT / 200, `${deep} is often what is wrong`);
  }
  for (const rule of ['MS-2', 'MS-4', 'MS-5', 'MS-6', 'CM-2', 'SG-3', 'step 4', 'step 9']) {
    t.ok((tally.rules[rule] ?? 0) > 0, `judges refuse by ${rule}`);
  }
  t.ok(tally.signaturesAsked > 0 && tally.signaturesRemembered > tally.signaturesAsked);
});

/** What a campaign of some inputs finds in a verifier that is not ours. */
async function failuresOf(verdictOf: typeof ourVerdict): Promise<string> {
  const { failures } = await (await Campaign.start(SEED, verdictOf)).run(0, 64);
  return failures.map(({ what }) => what).join('\n');
}

t.test('a wrong pass, a wrong refusal, a throw and a slow verdict are found', async (t) => {
  t.match(await failuresOf(() => 'pass'), /^ours: pass, @atcute: MS-/m);
  t.match(await failuresOf(() => 'commit_mst_bad'), /^ours: commit_mst_bad, @atcute: pass$/m);
  const throwing = (input: FuzzInput): string => {
    if (input.changes.includes('frame: its bytes')) throw new Error('not at us');
    return ourVerdict(input);
  };
  t.match(await failuresOf(throwing), /^ours throws Error: not at us/m);
  let slowCalls = 6;
  const slow = (input: FuzzInput): string => {
    if (slowCalls-- > 0) burn(VERDICT_CPU_MS_MAX + 20);
    return ourVerdict(input);
  };
  t.match(await failuresOf(slow), /^ours takes \d+/m);
});

/** Takes so much CPU time, however busy the machine is. */
function burn(cpuMs: number): void {
  const start = process.threadCpuUsage();
  for (let text = ''; ; text = createHash('sha256').update(text.padEnd(1e6)).digest('hex')) {
    const { user, system } = process.threadCpuUsage(start);
    if (user + system > 1000 * cpuMs) return;
  }
}

t.test('a verdict that depends on what came before is found', async (t) => {
  let turn = 0;
  const forgetful = (input: FuzzInput): string => (turn++ % 7 === 0 ? 'pass' : ourVerdict(input));
  t.match(await failuresOf(forgetful), /^ours says pass, then (?!pass)/m);
});

t.test('what failed is saved with all that is needed to judge it again', async (t) => {
  const campaign = await Campaign.start(SEED, () => 'pass');
  const { failures } = await campaign.run(0, 60);
  const [failure] = failures;
  const input = inputOf(failure?.saved ?? '');
  const replayed = await campaign.replay(input);
  t.notOk(replayed.isFine);
  t.match(replayed.lines.join('\n'), /NOT EXPLAINED: ours: pass/);
  const right = await (await Campaign.start(SEED)).replay(input);
  t.ok(right.isFine, 'ours refuses it, and so do both others');
  t.match(right.lines[0], /^ours: (?!pass)/);
});
