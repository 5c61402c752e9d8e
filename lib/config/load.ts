/**
 * From the environment to a config, or to the list of everything that is wrong with it: one clear
 * line per problem, all at once. An unknown RELAY_ name is refused with the nearest one, because a
 * setting with a typing error that silently does nothing is worse than no start.
 * @thread any
 */
import { readFileSync } from 'node:fs';
import { errorText } from '../base/fault.ts';
import { editDistance } from './distance.ts';
import { type Config, type ConfigKey, IGNORED_NAMES, KEYS } from './keys.ts';
import { limitProblems } from './limits.ts';
import type { Row } from './row.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
export type Loaded =
  | { readonly config: Config; readonly warnings: readonly string[] }
  | { readonly problems: readonly string[] };

const FILE_SUFFIX = '_FILE';
const SECRET_FILE_BYTES_MAX = 64 * 1024;
/** Kubernetes gives every pod such variables for a service that is named `relay`. */
const SERVICE_LINK = /^RELAY_(?:SERVICE_(?:HOST|PORT)(?:_|$)|PORT(?:_\d|$))/;

type Given = { readonly name: string; readonly text: string };

/** `env` is `process.env` as a rule; see docs/CONFIG.md for what it may hold. */
export function loadConfig(env: Environment): Loaded {
  const problems: string[] = [];
  const warnings: string[] = [];
  findUnknown(env, problems, warnings);
  const values = new Map<string, unknown>();
  for (const [key, row] of Object.entries(KEYS)) {
    values.set(key, readRow(row, env, problems));
  }
  if (problems.length > 0) return { problems };
  const config = deepFreeze(Object.fromEntries(values)) as Config;
  const limits = limitProblems(config);
  return limits.length > 0 ? { problems: limits } : { config, warnings };
}

/** One `name=value` text per setting that differs from its default; secrets are masked. */
export function describeConfig(config: Config): string[] {
  const lines: string[] = [];
  for (const key of Object.keys(KEYS) as ConfigKey[]) {
    const row = KEYS[key] as Row<unknown>;
    const printed = row.print(config[key]);
    if (printed !== row.print(row.fallback())) lines.push(`${row.env}=${printed}`);
  }
  return lines;
}

function readRow(row: Row<unknown>, env: Environment, problems: string[]): unknown {
  const given = givenValues(row, env, problems);
  const [first] = given;
  if (first === undefined) return row.fallback();
  const rival = given.find(({ text }) => text !== first.text);
  if (rival !== undefined) {
    problems.push(`${first.name} and ${rival.name} are both set and differ: keep one`);
  }
  const parsed = row.read(first.text);
  if ('value' in parsed) return parsed.value;
  const shown = row.isSecret ? '' : `=${JSON.stringify(first.text.slice(0, 80))}`;
  problems.push(`${first.name}${shown} is refused: expected ${parsed.expected}`);
  return row.fallback();
}

/** What is set under the row's names; an empty variable counts as not set. */
function givenValues(row: Row<unknown>, env: Environment, problems: string[]): Given[] {
  const given: Given[] = [];
  for (const name of [row.env, ...row.aliases]) {
    const text = env[name]?.trim();
    if (text !== undefined && text !== '') given.push({ name, text });
    const path = row.isSecret ? env[name + FILE_SUFFIX] : undefined;
    if (path === undefined || path === '') continue;
    const content = readSecret(name + FILE_SUFFIX, path, problems);
    if (content !== '') given.push({ name: name + FILE_SUFFIX, text: content });
  }
  return given;
}

function readSecret(name: string, path: string, problems: string[]): string {
  try {
    const content = readFileSync(path, 'utf8').trim();
    if (content === '') problems.push(`${name}: the file is empty`);
    if (content.length > SECRET_FILE_BYTES_MAX) problems.push(`${name}: the file is too large`);
    return content;
  } catch (error) {
    problems.push(`${name}: ${errorText(error)}`);
    return '';
  }
}

function findUnknown(env: Environment, problems: string[], warnings: string[]): void {
  const known = knownNames();
  for (const name of Object.keys(env)) {
    if (!name.startsWith('RELAY_') || known.includes(name)) continue;
    const reason = IGNORED_NAMES.get(name);
    if (reason !== undefined) {
      warnings.push(`${name} has no effect: ${reason}`);
    } else if (SERVICE_LINK.test(name)) {
      warnings.push(`${name} is ignored as a Kubernetes service link (enableServiceLinks: false)`);
    } else {
      problems.push(`${name} is not a setting${nearest(name, known)}`);
    }
  }
}

function knownNames(): string[] {
  return Object.values<Row<unknown>>(KEYS).flatMap((row) => {
    const names = [row.env, ...row.aliases];
    return row.isSecret ? [...names, ...names.map((name) => name + FILE_SUFFIX)] : names;
  });
}

function nearest(name: string, known: readonly string[]): string {
  const ranked = known
    .map((candidate) => ({ candidate, edits: editDistance(name, candidate) }))
    .sort((a, b) => a.edits - b.edits);
  const best = ranked[0];
  if (best === undefined || best.edits > name.length / 2) return ' (see --help)';
  return `, did you mean ${best.candidate}?`;
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
