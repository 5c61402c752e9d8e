/**
 * Checks a payload against the published lexicon (test/fixtures/wire/subscribeRepos.json), from
 * the decoded value of an independent decoder: what a consumer that checks would say to a frame.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decode, fromBytes, isBytes } from '@atcute/cbor';
import { KIND_NAMES, type Kind } from '../../lib/wire/kinds.ts';

type Schema = {
  readonly type: string;
  readonly required?: readonly string[];
  readonly nullable?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly ref?: string;
  readonly format?: string;
  readonly maxLength?: number;
};

const FILE = join(import.meta.dirname, '../fixtures/wire/subscribeRepos.json');
const DEFS: Readonly<Record<string, Schema>> = JSON.parse(readFileSync(FILE, 'utf8')).defs;

/** Formats that lib/wire answers for. `did` is judged elsewhere; `datetime` only where H51 says. */
const FORMATS: Readonly<Record<string, RegExp>> = {
  tid: /^[2-7a-j][2-7a-z]{12}$/,
  handle:
    /^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/,
  datetime: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/,
};

/** What is wrong with the payload of an event of `kind`; empty when nothing is. */
export function lexiconErrors(kind: Kind, payload: Buffer): string[] {
  const name = KIND_NAMES[kind].slice(1);
  const isTimeChecked = kind <= 2;
  return errorsOf(decode(payload), DEFS[name] as Schema, name, isTimeChecked);
}

function errorsOf(value: unknown, schema: Schema, path: string, isTimeChecked: boolean): string[] {
  if (schema.type === 'ref') {
    const target = DEFS[(schema.ref ?? '').slice(1)] as Schema;
    return errorsOf(value, target, path, isTimeChecked);
  }
  if (schema.type === 'object') return objectErrors(value, schema, path, isTimeChecked);
  if (schema.type === 'array') {
    if (!Array.isArray(value)) return [`${path} is no array`];
    if (value.length > (schema.maxLength ?? Infinity)) return [`${path} is too long`];
    return value.flatMap((item, index) => {
      return errorsOf(item, schema.items as Schema, `${path}[${index}]`, isTimeChecked);
    });
  }
  return isScalar(value, schema, isTimeChecked) ? [] : [`${path} is no ${schema.type}`];
}

function objectErrors(
  value: unknown,
  schema: Schema,
  path: string,
  isTimeChecked: boolean,
): string[] {
  if (typeof value !== 'object' || value === null) return [`${path} is no object`];
  const fields = value as Readonly<Record<string, unknown>>;
  const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(fields, name));
  const errors = missing.map((name) => `${path}.${name} is missing`);
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (!Object.hasOwn(fields, name)) continue;
    if (fields[name] === null && schema.nullable?.includes(name)) continue;
    errors.push(...errorsOf(fields[name], property, `${path}.${name}`, isTimeChecked));
  }
  return errors;
}

function isScalar(value: unknown, schema: Schema, isTimeChecked: boolean): boolean {
  switch (schema.type) {
    case 'integer':
      return Number.isSafeInteger(value);
    case 'boolean':
      return typeof value === 'boolean';
    case 'bytes':
      return isBytes(value) && fromBytes(value).length <= (schema.maxLength ?? Infinity);
    case 'cid-link':
      return typeof value === 'object' && value !== null && '$link' in value;
    default: {
      if (typeof value !== 'string') return false;
      const isSkipped = schema.format === 'datetime' && !isTimeChecked;
      return isSkipped || (FORMATS[schema.format ?? '']?.test(value) ?? true);
    }
  }
}
