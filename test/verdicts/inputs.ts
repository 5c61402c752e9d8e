/**
 * Rows whose inputs are many messages with one verdict. All go through one scene, one after
 * another, and all must agree; of what passes the consumer must get exactly what was meant.
 */
import { describeFrame } from '../helpers/recording-consumer.ts';
import type { VerdictCase } from './case.ts';
import type { Made } from './drafts.ts';
import type { Scene, SceneAccount } from './scene.ts';

/** What an input may use: the account it is about is `repo`'s. */
export type Bench = Pick<SceneAccount, 'did' | 'handle' | 'host' | 'repo'> & {
  readonly directory: Scene['directory'];
};
/** A message, or one that must arrive as another. Made when its turn comes. */
export type Passing = Made | { readonly sent: Made; readonly received: Made };
export type Input = (bench: Bench) => Passing;
export type Inputs = Readonly<Record<string, Input>>;

const DISCONTINUOUS = 'relay_verify_discontinuous_commits_total';

type Row = Omit<VerdictCase, 'expected' | 'run'>;

/** All inputs are dropped for one reason; `passes` are their right neighbours. */
export function dropCase(
  row: Row & { readonly code: string; readonly inputs: Inputs; readonly passes?: Inputs },
): VerdictCase {
  const { code, inputs, passes, ...rest } = row;
  const expected = `DROP ${code}`;
  if (passes === undefined) return groupCase(rest, [{ expected, inputs }]);
  const namesOf = (group: Inputs): string => Object.keys(group).join(', ');
  return groupCase(rest, [
    { expected, label: namesOf(inputs), inputs },
    { expected: 'PASS', label: namesOf(passes), inputs: passes },
  ]);
}

/** All inputs pass, as they are or as they were meant. */
export function passCase(row: Row & { readonly inputs: Inputs }): VerdictCase {
  const { inputs, ...rest } = row;
  const isChanged = row.specVerdict.startsWith('PASS*');
  return groupCase(rest, [{ expected: isChanged ? 'PASS changed' : 'PASS', inputs }]);
}

/** Inputs with one verdict; `label` names them where a row has several groups. */
export type Group = { readonly expected: string; readonly label?: string };

export function labelled(verdict: string, { label }: Group): string {
  return label === undefined ? verdict : `${verdict} (${label})`;
}

/** Several groups of inputs, each with its verdict. */
export function groupCase(
  row: Row,
  groups: readonly (Group & { readonly inputs: Inputs })[],
): VerdictCase {
  return {
    ...row,
    expected: groups.map((group) => labelled(group.expected, group)).join(', '),
    run: async (scene) => {
      const verdicts: string[] = [];
      for (const group of groups) {
        verdicts.push(labelled(await verdictOfAll(scene, group.inputs), group));
      }
      return verdicts.join(', ');
    },
  };
}

/** One verdict when all inputs agree, else each with its own. */
export async function verdictOfAll(
  scene: Scene,
  inputs: Inputs,
  account: SceneAccount = scene.subject,
): Promise<string> {
  const received: (string | undefined)[] = [];
  const hostile = Object.values(inputs).map((input) => (stamp: Parameters<Made>[0]) => {
    const passing = input({ ...account, directory: scene.directory });
    const isMended = typeof passing !== 'function';
    received.push(isMended ? describeFrame(passing.received(stamp)).digest : undefined);
    return isMended ? passing.sent(stamp) : passing(stamp);
  });
  const witnesses = [account, scene.neighbour];
  await scene.settled();
  const before = await scene.observe();
  const verdicts = (await scene.verdictOf(hostile, { witnesses })).split(', ');
  let passed = 0;
  const checked = verdicts.map((verdict, index) => {
    if (!verdict.startsWith('PASS')) return verdict;
    const got = scene.emitted[passed++];
    const meant = received[index];
    const isMeant = got !== undefined && describeFrame(got).digest === meant;
    return meant === undefined || isMeant ? verdict : `${verdict} otherwise than meant`;
  });
  const marks = (await scene.observe()).since(before, DISCONTINUOUS);
  const verdict = agreed(Object.keys(inputs), checked);
  if (marks === 0) return verdict;
  return marks === verdicts.length ? `${verdict} and counted` : `${verdict}, ${marks} counted`;
}

export function agreed(names: readonly string[], verdicts: readonly string[]): string {
  const [first = 'no inputs'] = verdicts;
  if (names.length === verdicts.length && verdicts.every((verdict) => verdict === first)) {
    return first;
  }
  return verdicts.map((verdict, index) => `${names[index]}: ${verdict}`).join('; ');
}
