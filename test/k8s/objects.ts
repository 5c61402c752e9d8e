/** The Kubernetes objects of this repository as plain values, for the tests of this folder. */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

const ROOT = join(import.meta.dirname, '..', '..', 'k8s');

/** A value somewhere in a manifest; `at` walks by keys and indexes and never throws. */
export class Node {
  readonly value: unknown;

  constructor(value: unknown) {
    this.value = value;
  }

  at(...path: readonly (string | number)[]): Node {
    let value = this.value;
    for (const key of path) {
      value = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
    }
    return new Node(value);
  }

  get items(): Node[] {
    return Array.isArray(this.value) ? this.value.map((item) => new Node(item)) : [];
  }

  get text(): string {
    return String(this.value);
  }

  get number(): number {
    return Number(this.value);
  }
}

function parse(text: string): Node[] {
  return parseAllDocuments(text).map((document) => new Node(document.toJS()));
}

/** All objects of a folder, as written. */
export function objectsIn(folder: string): Node[] {
  const files = globSync('*.yaml', { cwd: join(ROOT, folder) });
  const texts = files.map((file) => readFileSync(join(ROOT, folder, file), 'utf8'));
  return texts
    .flatMap(parse)
    .filter((node) => !/^(Kustomization|Component)$/.test(node.at('kind').text));
}

/** The objects of an overlay as they would be applied; undefined where kubectl is not installed. */
export function render(overlay: string): Node[] | undefined {
  const folder = join(ROOT, 'overlays', overlay);
  const { status, stdout, stderr, error } = spawnSync('kubectl', ['kustomize', folder]);
  if (error !== undefined) return undefined;
  if (status !== 0) throw new Error(String(stderr));
  return parse(String(stdout));
}

export function ofKind(objects: readonly Node[], kind: string): Node[] {
  return objects.filter((node) => node.at('kind').value === kind);
}
