/**
 * The settings as text for a terminal (`--help`), from the table.
 * @thread any
 */
import { IGNORED_NAMES, SECTIONS } from './keys.ts';
import type { Row } from './row.ts';

const INDENT = '      ';
const COLUMNS_MAX = 100;

export function configHelp(): string {
  const sections = SECTIONS.map(({ title, keys }) => {
    const rows = Object.values<Row<unknown>>(keys).map(rowHelp);
    return [`${title}:`, ...rows].join('\n');
  });
  const ignored = wrapped(`Accepted without effect: ${[...IGNORED_NAMES.keys()].join(', ')}.`, '');
  return `${sections.join('\n\n')}\n\n${ignored}\n`;
}

function rowHelp(row: Row<unknown>): string {
  const defaultText = row.defaultText === '' ? 'none' : row.defaultText;
  const head = `  ${row.env}  ${row.kind}, default ${defaultText}`;
  const facts = [
    row.doc,
    ...(row.rangeText === '' ? [] : [`(${row.rangeText})`]),
    ...(row.aliases.length === 0 ? [] : [`Also: ${row.aliases.join(', ')}.`]),
    ...(row.isSecret ? [`Or the name of a file: ${row.env}_FILE.`] : []),
  ];
  return `${head}\n${wrapped(facts.join(' '), INDENT)}`;
}

function wrapped(text: string, indent: string): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(' ')) {
    if (line.length + word.length + 1 > COLUMNS_MAX && line !== indent) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()].join('\n');
}
