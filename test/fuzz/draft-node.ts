/**
 * The nodes of a commit's tree as something to edit: entries with whole keys, links to other nodes
 * or to nodes that are not there. Whatever is changed, a node is encoded and hashed anew, and so
 * are all nodes above it, so that the wrong place has the right hash.
 */
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { cidOf } from '../../scripts/fleet/repo-tree.ts';
import type { Block } from '../../scripts/fleet/signed-repo.ts';
import { head, type Item, link, MAJOR, parseItem } from './cbor-items.ts';

/** A node that is there, the CID of one that is not, or nothing. */
export type Link = DraftNode | string | null;

export type DraftEntry = {
  /** One character per byte. */
  key: string;
  value: string;
  right: Link;
  /** Instead of the bytes that the key shares with the one before. */
  prefix?: number | bigint;
  /** Instead of what comes after the prefix. */
  suffix?: string;
};

export class DraftNode {
  entries: DraftEntry[];
  left: Link;
  /** What is done to the bytes last. */
  patch: ((bytes: Buffer) => Buffer) | undefined;
  #block: Block | undefined;
  #isEncoding = false;
  /** What it was, which saves the encoding where it still is. */
  readonly #origin: PlainNode | undefined;

  constructor(entries: DraftEntry[] = [], left: Link = null, origin?: PlainNode) {
    this.entries = entries;
    this.left = left;
    this.#origin = origin;
  }

  /** The children that are there, in order. */
  get children(): DraftNode[] {
    return this.links.filter((each) => each instanceof DraftNode);
  }

  get links(): Link[] {
    return [this.left, ...this.entries.map(({ right }) => right)];
  }

  /** The link after the `index`-th entry; -1 is the one before all. */
  setLink(index: number, to: Link): void {
    const entryBefore = this.entries[index];
    if (entryBefore === undefined) this.left = to;
    else entryBefore.right = to;
  }

  /** Encoded once: changes after this are not seen. */
  get block(): Block {
    if (this.#block === undefined) {
      if (this.#isEncoding) throw new Error('a node below itself');
      this.#isEncoding = true;
      this.#block = this.#isUnchanged() ? (this.#origin as PlainNode).block : this.#newBlock();
    }
    return this.#block;
  }

  #isUnchanged(): boolean {
    const origin = this.#origin;
    if (origin === undefined || this.patch !== undefined) return false;
    if (origin.entries.length !== this.entries.length) return false;
    if (origin.left !== cidOfLink(this.left)) return false;
    return this.entries.every(({ key, value, right, prefix }, index) => {
      const old = origin.entries[index];
      const isSame = old?.key === key && old.value === value && prefix === undefined;
      return isSame && old.right === cidOfLink(right);
    });
  }

  #newBlock(): Block {
    const encoded = this.#encode();
    const bytes = this.patch?.(encoded) ?? encoded;
    return { cid: cidOf(bytes), bytes };
  }

  #encode(): Buffer {
    const out = new DrislWriter().map(2).text('e').array(this.entries.length);
    let previous = '';
    for (const { key, value, right, prefix, suffix } of this.entries) {
      const shared = prefix ?? sharedChars(previous, key);
      const cut = Math.min(key.length, Math.max(0, Number(shared)));
      previous = key;
      const sign = shared < 0 ? MAJOR.negative : MAJOR.uint;
      out
        .map(4)
        .text('k')
        .bytes(Buffer.from(suffix ?? key.slice(cut), 'latin1'));
      out.text('p').raw(head(sign, shared < 0 ? -1n - BigInt(shared) : shared));
      out
        .text('t')
        .raw(link(cidOfLink(right)))
        .text('v')
        .raw(link(value));
    }
    return out
      .text('l')
      .raw(link(cidOfLink(this.left)))
      .done();
  }
}

export function cidOfLink(to: Link): string | null {
  return to instanceof DraftNode ? to.block.cid : to;
}

function sharedChars(a: string, b: string): number {
  let shared = 0;
  while (shared < a.length && a.charCodeAt(shared) === b.charCodeAt(shared)) shared++;
  return shared;
}

/** A node as it is read from a right block: links are CIDs still. */
export type PlainNode = {
  readonly block: Block;
  readonly left: string | null;
  readonly entries: readonly {
    readonly key: string;
    readonly value: string;
    readonly right: string | null;
  }[];
};

/** Reads a block that the fleet wrote. */
export function plainNode(block: Block): PlainNode {
  const bytes = Buffer.from(block.bytes);
  const [, e, , l] = parseItem(bytes)?.children ?? [];
  if (e === undefined || l === undefined) throw new Error('no node');
  let previous = '';
  const entries = e.children.map(({ children }) => {
    const [, k, , p, , t, , v] = children as [Item, Item, Item, Item, Item, Item, Item, Item];
    const key = previous.slice(0, p.argument) + bytes.latin1Slice(k.headEnd, k.end);
    previous = key;
    return { key, value: cidAt(bytes, v) ?? '', right: cidAt(bytes, t) };
  });
  return { block, left: cidAt(bytes, l), entries };
}

function cidAt(bytes: Buffer, item: Item): string | null {
  return item.major === MAJOR.tag ? bytes.latin1Slice(item.end - 36, item.end) : null;
}

/** The nodes by CID as a tree that may be edited; a link to any other node is its CID. */
export function draftTree(root: string, nodes: ReadonlyMap<string, PlainNode>): DraftNode {
  const toLink = (cid: string | null): Link =>
    cid !== null && nodes.has(cid) ? draftTree(cid, nodes) : cid;
  const node = nodes.get(root);
  if (node === undefined) throw new Error('no root');
  const entries = node.entries.map(({ key, value, right }) => {
    return { key, value, right: toLink(right) };
  });
  return new DraftNode(entries, toLink(node.left), node);
}

/** Every node in and below one, each once, from the top. */
export function allNodes(root: DraftNode): Set<DraftNode> {
  const nodes = new Set([root]);
  for (const node of nodes) for (const child of node.children) nodes.add(child);
  return nodes;
}
