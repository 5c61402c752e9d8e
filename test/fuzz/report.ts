/** What a fuzz run has found, as lines for people. */
import { EXPLAINED } from './classes.ts';
import type { Tally } from './tally.ts';

const NAME_CHARS = 44;
const NUMBER_CHARS = 12;

function row(name: string, ...cells: readonly (string | number)[]): string {
  const texts = cells.map((cell) => `${cell}`.padStart(NUMBER_CHARS));
  return `${name.padEnd(NAME_CHARS)}${texts.join('')}`;
}

export function verdictTable({ verdicts }: Tally): string[] {
  const lines = [row('our verdict', 'inputs', '@atcute', 'refuses', '@atproto', 'refuses')];
  const rows = Object.entries(verdicts).sort(([, a], [, b]) => b.inputs - a.inputs);
  for (const [name, { inputs, judges }] of rows) {
    const cells = ['@atcute', '@atproto'].flatMap((judge) => {
      const { passed, refused } = judges[judge] ?? { passed: 0, refused: 0 };
      return [passed, refused];
    });
    lines.push(row(name, inputs, ...cells));
  }
  return lines;
}

export function explainedTable({ explained }: Tally): string[] {
  const lines = [row('disagreements that are meant to be', 'inputs')];
  for (const { name, rules, why } of EXPLAINED) {
    const counts = Object.entries(explained).filter(([key]) => key.startsWith(`${name} (`));
    const parts = counts.map(([key, count]) => `${key.slice(name.length + 1)} ${count}`);
    lines.push(
      row(
        name,
        counts.reduce((sum, [, count]) => sum + count, 0),
      ),
    );
    lines.push(`  ${[rules, why, ...parts].join('; ')}`);
  }
  return lines;
}

export function ruleTable({ rules }: Tally): string[] {
  const counts = Object.entries(rules).sort(([, a], [, b]) => b - a);
  return ['rules by which judges refused:', `  ${counts.map((each) => each.join(' ')).join(', ')}`];
}

export function changeTable({ changes }: Tally): string[] {
  const rows = Object.entries(changes).sort(([a], [b]) => a.localeCompare(b));
  return [
    row('change', 'inputs', 'passed'),
    ...rows.map(([name, { inputs, passed }]) => row(name, inputs, passed)),
  ];
}

/** One line that says how it went. */
export function outcome(tally: Tally, seed: number, seconds: number): string {
  const { inputs, failureCount, rightOnes, signaturesAsked, signaturesRemembered } = tally;
  const rate = Math.round(inputs / Math.max(seconds, 0.001));
  return [
    `seed ${seed}: ${inputs} inputs and ${rightOnes} right messages in between`,
    `${failureCount} failures`,
    `${signaturesAsked} signatures judged, ${signaturesRemembered} remembered`,
    `${seconds.toFixed(0)} s, ${rate} inputs/s`,
  ].join('; ');
}
