/** The protocol's public test vectors (test/fixtures/atproto-interop). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '../fixtures/atproto-interop');

/** Lines of a list that are neither empty nor comments; their spaces count. */
export function interopLines(path: string): string[] {
  const lines = readFileSync(join(FOLDER, path), 'utf8').split('\n');
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

export function interopJson<Shape>(path: string): Shape {
  return JSON.parse(readFileSync(join(FOLDER, path), 'utf8'));
}
