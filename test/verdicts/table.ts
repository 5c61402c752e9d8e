/**
 * docs/VERDICTS.md: reads its rows, and compares a section with what a run has found. With
 * UPDATE_VERDICTS=1 the section is written instead.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Test } from 'tap';
import type { VerdictRow } from './case.ts';

/** One per test file, named after it; in the order of the page. */
export type Section =
  | 'transport'
  | 'encoding'
  | 'sequence'
  | 'fields'
  | 'car'
  | 'commit'
  | 'tree'
  | 'chain'
  | 'authority'
  | 'status'
  | 'downstream';

const ROOT = join(import.meta.dirname, '../..');
const PAGE = join(ROOT, 'docs/VERDICTS.md');
const COLUMNS = ['#', 'input', 'catalogue', 'expected', 'got', 'rules', 'deviation'] as const;
const HEAD = [`| ${COLUMNS.join(' | ')} |`, `|${' --- |'.repeat(COLUMNS.length)}`];

/** Compares the section with the rows, or writes it. */
export function checkSection(t: Test, section: Section, rows: readonly VerdictRow[]): void {
  const page = readFileSync(PAGE, 'utf8');
  const start = page.indexOf(startOf(section));
  const end = page.indexOf(endOf(section));
  if (start < 0 || end < start) throw new Error(`no section ${section} in docs/VERDICTS.md`);
  const from = start + startOf(section).length;
  const table = `\n${[...HEAD, ...rows.map(renderRow)].join('\n')}\n`;
  if (process.env['UPDATE_VERDICTS'] === '1') {
    writeFileSync(PAGE, page.slice(0, from) + table + page.slice(end));
  } else {
    t.equal(page.slice(from, end), table, 'docs/VERDICTS.md (write it with UPDATE_VERDICTS=1)');
  }
}

/** All rows of the page, in its order. */
export function readRows(): VerdictRow[] {
  const rows: VerdictRow[] = [];
  for (const line of readFileSync(PAGE, 'utf8').split('\n')) {
    if (!/^\| H\d+ \|/.test(line)) continue;
    const cells = line.split('|').slice(1, -1);
    const [id = '', input = '', spec = '', expected = '', got = '', rules = '', deviation = ''] =
      cells.map((cell) => cell.trim());
    rows.push({ id, input, specVerdict: spec, expected, got, rules, deviation });
  }
  return rows;
}

function renderRow(row: VerdictRow): string {
  const { id, input, specVerdict, expected, got, rules, deviation = '' } = row;
  const links = deviation.replaceAll(/ADR (\d{4})/g, (_, number: string) => {
    return `[ADR ${number}](adr/${adrOf(number)})`;
  });
  const cells = [id, input, specVerdict, expected, got, rules, links];
  const bad = cells.find((cell) => cell.includes('|') || cell.includes('\n'));
  if (bad !== undefined) throw new Error(`${id}: a cell has a bar or a line break: ${bad}`);
  return `| ${cells.join(' | ')} |`;
}

function adrOf(number: string): string {
  const [path] = globSync(join(ROOT, `docs/adr/${number}-*.md`));
  if (path === undefined) throw new Error(`there is no ADR ${number}`);
  return basename(path);
}

function startOf(section: Section): string {
  return `<!-- ${section} -->\n`;
}

function endOf(section: Section): string {
  return `\n<!-- end of ${section} -->`;
}
