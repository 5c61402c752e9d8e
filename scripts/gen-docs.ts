/**
 * Writes the pages that come from tables: docs/CONFIG.md, docs/METRICS.md, docs/REJECTS.md.
 *
 *   npm run docs              write them
 *   npm run docs -- --check   only say whether they are up to date (exit 1 if not)
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { IGNORED_NAMES, SECTIONS } from '../lib/config/keys.ts';
import type { Row } from '../lib/config/row.ts';
import { HOST_CLASSES, REJECT_FAMILY } from '../lib/metrics/catalog.ts';
import { METRIC_FAMILIES, metricRow } from '../lib/metrics/slots.ts';
import { REJECT_CODES, REJECTS } from '../lib/reject/codes.ts';

const DOCS = join(import.meta.dirname, '..', 'docs');
const NOTE = '<!-- Written by scripts/gen-docs.ts from the table in the code: do not edit. -->';

const code = (text: string): string => (text === '' ? '' : `\`${text}\``);

/** A pipe in a cell would end it. */
const tableRow = (cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map(tableRow).join('\n');
}

function configCells(row: Row<unknown>): string[] {
  const names = [row.env, ...row.aliases].map(code).join(', ');
  const file = row.isSecret ? ` Or name a file in \`${row.env}_FILE\`.` : '';
  return [names, row.kind, code(row.defaultText), row.rangeText, row.doc + file];
}

function configPage(): string {
  const sections = SECTIONS.map(({ title, keys }) => {
    const rows = Object.values<Row<unknown>>(keys).map(configCells);
    return `## ${title}\n\n${table(['Name', 'Kind', 'Default', 'Range', 'Meaning'], rows)}`;
  });
  const ignored = [...IGNORED_NAMES].map(([name, reason]) => `- \`${name}\`: ${reason}`);
  return [
    NOTE,
    '# Settings',
    'Environment variables. An empty one counts as not set. An unknown `RELAY_` name or a value\n' +
      'that does not parse stops the start and names the nearest setting. Durations have units\n' +
      '(`500ms`, `30s`, `1h30m`, `7d`), sizes too (`256MiB`, `5MB`).',
    ...sections,
    '## Accepted without effect',
    'Settings of the reference relay that have no meaning here; they cause a warning.',
    ignored.join('\n'),
  ].join('\n\n');
}

function metricsPage(): string {
  const rows = METRIC_FAMILIES.map((family) => {
    const row = metricRow(family);
    const { label } = row;
    const values = label === undefined ? '' : label.values.map(code).join(' ');
    return [
      code(family),
      row.type,
      label === undefined ? '' : `${code(label.name)}: ${values}`,
      row.threads.join(', '),
      row.help,
    ];
  });
  const rejects = [
    code(REJECT_FAMILY),
    'counter',
    `${code('reason')}: see REJECTS.md; ${code('host_class')}: ${HOST_CLASSES.map(code).join(' ')}`,
    'main, verify',
    'Events not emitted, by reason.',
  ];
  return [
    NOTE,
    '# Metrics',
    'Served as `/metrics` by the liveness thread. Every series is there from the start, with\n' +
      'zero. The unit is in the name. Series of the process itself (`process_*`) come on top.',
    table(['Series', 'Type', 'Labels', 'Written by', 'Meaning'], [...rows, rejects]),
  ].join('\n\n');
}

function rejectsPage(): string {
  const rows = REJECT_CODES.map((name) => [
    `<a id="${name}"></a>${code(name)}`,
    REJECTS[name].action,
    REJECTS[name].doc,
  ]);
  return [
    NOTE,
    '# Reasons for which an event is not emitted',
    'Each is a label of `relay_reject_events_total`, the field `code` in the log, and part of\n' +
      '`/explain`. Actions: *ignore* skips the frame; *drop* drops this event only; *strike*\n' +
      'drops it and marks the host (three in ten minutes close the connection); *close* ends\n' +
      'the connection at once.',
    table(['Code', 'Action', 'Meaning'], rows),
  ].join('\n\n');
}

/** Name of each generated page and its text. */
export function generatedPages(): ReadonlyMap<string, string> {
  return new Map([
    ['CONFIG.md', `${configPage()}\n`],
    ['METRICS.md', `${metricsPage()}\n`],
    ['REJECTS.md', `${rejectsPage()}\n`],
  ]);
}

function present(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Names of the pages that differ from what the tables say. */
export function stalePages(): string[] {
  return [...generatedPages()]
    .filter(([name, text]) => present(join(DOCS, name)) !== text)
    .map(([name]) => `docs/${name}`);
}

if (import.meta.main) {
  const stale = stalePages();
  if (process.argv.includes('--check')) {
    for (const name of stale) console.error(`${name} is out of date: npm run docs`);
    process.exitCode = stale.length > 0 ? 1 : 0;
  } else {
    for (const [name, text] of generatedPages()) writeFileSync(join(DOCS, name), text);
    console.log(stale.length > 0 ? `wrote ${stale.join(', ')}` : 'all pages were up to date');
  }
}
