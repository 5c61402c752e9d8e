/**
 * The schema as readable SQL, from the catalogues of a live database; the built-in PostgreSQL has
 * no pg_dump. Tables by name, columns in their order, then constraints and indexes by name.
 */
import type pg from 'pg';
import { run } from '../helpers/postgres.ts';

const TABLES = `
  SELECT c.oid::int AS oid, c.relname AS name, array_to_string(c.reloptions, ', ') AS options
  FROM pg_class c
  WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
  ORDER BY c.relname LIMIT 1000`;
const COLUMNS = `
  SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
    a.attnotnull AS is_required, a.attidentity AS identity, l.collname AS collation,
    pg_get_expr(d.adbin, d.adrelid) AS fallback
  FROM pg_attribute a
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN pg_collation l ON l.oid = a.attcollation AND l.collname <> 'default'
  WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
  ORDER BY a.attnum LIMIT 1000`;
const CONSTRAINTS = `
  SELECT conname AS name, pg_get_constraintdef(oid) AS definition
  FROM pg_constraint WHERE conrelid = $1 AND contype <> 'n'
  ORDER BY conname LIMIT 1000`;
const INDEXES = `
  SELECT pg_get_indexdef(i.indexrelid) AS definition
  FROM pg_index i
  WHERE i.indrelid = $1
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
  ORDER BY 1 LIMIT 1000`;

type Column = {
  name: string;
  type: string;
  is_required: boolean;
  identity: string;
  collation: string | null;
  fallback: string | null;
};

export async function dumpSchema(connection: pg.PoolConfig): Promise<string> {
  const parts: string[] = [];
  const tables = await run<{ oid: number; name: string; options: string }>(connection, TABLES);
  for (const { oid, name, options } of tables) {
    const columns = await run<Column>(connection, COLUMNS, [oid]);
    const constraints = await run<{ name: string; definition: string }>(connection, CONSTRAINTS, [
      oid,
    ]);
    const lines = [
      ...columns.map(columnLine),
      ...constraints.map((row) => `CONSTRAINT ${row.name} ${row.definition}`),
    ];
    const tail = options === null || options === '' ? '' : ` WITH (${options})`;
    parts.push(`CREATE TABLE ${name} (\n  ${lines.join(',\n  ')}\n)${tail};`);
    for (const { definition } of await run<{ definition: string }>(connection, INDEXES, [oid])) {
      parts.push(`${definition};`);
    }
  }
  return `${parts.join('\n\n')}\n`;
}

function columnLine(column: Column): string {
  const words = [column.name, column.type];
  if (column.collation !== null) words.push(`COLLATE "${column.collation}"`);
  if (column.is_required) words.push('NOT NULL');
  if (column.identity === 'a') words.push('GENERATED ALWAYS AS IDENTITY');
  if (column.fallback !== null) words.push(`DEFAULT ${column.fallback}`);
  return words.join(' ');
}
