/**
 * Which build this is: version and commit, for the banner, `GET /` and bug reports. A build carries
 * build.json beside `lib`; in the source tree there is package.json instead.
 * @thread any
 */
import { readFileSync } from 'node:fs';

export type BuildInfo = {
  readonly version: string;
  /** Full hash, with `-dirty` where the tree had changes; '' when run from source. */
  readonly commit: string;
};

function readJson(name: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'));
  } catch {
    return undefined;
  }
}

export function buildInfo(): BuildInfo {
  const json = readJson('build.json') ?? readJson('package.json') ?? {};
  return { version: String(json['version'] ?? 'unknown'), commit: String(json['commit'] ?? '') };
}
