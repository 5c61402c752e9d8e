/**
 * The @atproto packages as the library of a judge: those of the real PDS in test/real, which are
 * installed apart from ours. Only what is used of them is described here.
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { Library, LibraryNode, PlacedNode, TreeEditor } from './library.ts';

type Cid = { readonly bytes: Uint8Array };
type Leaf = { readonly key: string; readonly value: Cid };
type Tree = {
  readonly pointer: Cid;
  add(key: string, value: Cid): Promise<Tree>;
  update(key: string, value: Cid): Promise<Tree>;
  delete(key: string): Promise<Tree>;
  getPointer(): Promise<Cid>;
};
type NodeEntry = Leaf | Tree;
type Storage = object;
type BlockMap = { entries(): { readonly cid: Cid; readonly bytes: Uint8Array }[] };
type Definition = object;

type MstUtil = {
  deserializeNodeData(storage: Storage, data: object): Promise<NodeEntry[]>;
  serializeNodeData(entries: readonly NodeEntry[]): object;
};

type RepoPackage = {
  readonly MST: {
    new (storage: Storage, cid: Cid, entries: readonly NodeEntry[], layer: number): Tree;
    load(storage: Storage, cid: Cid, options?: { readonly layer: number }): Tree;
  };
  readonly Leaf: new (key: string, value: Cid) => Leaf;
  readonly MemoryBlockstore: new () => Storage;
  readonly nodeDataDef: Definition;
  readonly mstUtil: MstUtil;
  parseObjByDef(
    bytes: Uint8Array,
    cid: Cid | null,
    definition: Definition,
  ): { readonly obj: object };
  readCar(
    bytes: Uint8Array,
  ): Promise<{ readonly roots: readonly Cid[]; readonly blocks: BlockMap }>;
};
type CborPackage = {
  decode(bytes: Uint8Array): unknown;
  decodeAll(bytes: Uint8Array): Generator<unknown>;
  encode(value: unknown): Uint8Array;
};
type DataPackage = { decodeCid(bytes: Uint8Array): Cid; ifCid(value: unknown): Cid | null };
type CryptoPackage = {
  verifySignature(didKey: string, data: Uint8Array, signature: Uint8Array): Promise<boolean>;
};
type SyntaxPackage = {
  isValidTid(text: string): boolean;
  isValidDid(text: string): boolean;
  isDatetimeString(text: string): boolean;
  isValidNsid(text: string): boolean;
  isValidRecordKey(text: string): boolean;
};

const fromReal = createRequire(new URL('../real/package.json', import.meta.url));

/** Loads the packages; rejects where test/real is not installed. */
export async function loadAtproto(): Promise<Library> {
  const repoFile = fromReal.resolve('@atproto/repo');
  const fromRepo = createRequire(repoFile);
  const load = (file: string): Promise<unknown> => import(pathToFileURL(file).href);
  const parts = {
    repo: (await load(repoFile)) as RepoPackage,
    cbor: (await load(fromRepo.resolve('@atproto/lex-cbor'))) as CborPackage,
    data: (await load(fromRepo.resolve('@atproto/lex-data'))) as DataPackage,
    crypto: (await load(fromReal.resolve('@atproto/crypto'))) as CryptoPackage,
    syntax: (await load(fromRepo.resolve('@atproto/syntax'))) as SyntaxPackage,
  };
  return new Atproto(parts);
}

type Parts = {
  readonly repo: RepoPackage;
  readonly cbor: CborPackage;
  readonly data: DataPackage;
  readonly crypto: CryptoPackage;
  readonly syntax: SyntaxPackage;
};

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** The packages tell a Buffer from a Uint8Array. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

class Atproto implements Library {
  readonly name = '@atproto';
  readonly syntax: Library['syntax'];
  readonly #parts: Parts;
  /** Nothing is ever read from it: the nodes that are there are put in place beforehand. */
  readonly #storage: Storage;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#storage = new parts.repo.MemoryBlockstore();
    const { syntax } = parts;
    this.syntax = {
      isTid: (text) => syntax.isValidTid(text),
      isDid: (text) => syntax.isValidDid(text),
      isDatetime: (text) => syntax.isDatetimeString(text),
      isNsid: (text) => syntax.isValidNsid(text),
      isRecordKey: (text) => syntax.isValidRecordKey(text),
    };
  }

  decodeFirst(bytes: Uint8Array): { readonly value: unknown; readonly bytesRead: number } {
    const { value } = this.#parts.cbor.decodeAll(plain(bytes)).next();
    // Where it ends is not told; where it was canonical it ends there.
    return { value, bytesRead: this.encode(value).length };
  }

  decode(bytes: Uint8Array): unknown {
    return this.#parts.cbor.decode(plain(bytes));
  }

  encode(value: unknown): Uint8Array {
    return this.#parts.cbor.encode(value);
  }

  linkOf(value: unknown): string | undefined {
    const cid = this.#parts.data.ifCid(value);
    return cid === null ? undefined : latin1(cid.bytes);
  }

  bytesOf(value: unknown): Uint8Array | undefined {
    return value instanceof Uint8Array ? value : undefined;
  }

  async readCar(bytes: Uint8Array): ReturnType<Library['readCar']> {
    const { roots, blocks } = await this.#parts.repo.readCar(plain(bytes));
    const byCid = new Map(blocks.entries().map((block) => [latin1(block.cid.bytes), block.bytes]));
    return { roots: roots.map((root) => latin1(root.bytes)), blocks: byCid };
  }

  verify(didKey: string, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
    return this.#parts.crypto.verifySignature(didKey, plain(message), plain(signature));
  }

  async readNode(bytes: Uint8Array): Promise<LibraryNode> {
    const { repo } = this.#parts;
    const { obj } = repo.parseObjByDef(plain(bytes), null, repo.nodeDataDef);
    const keys: string[] = [];
    const values: string[] = [];
    const children: (string | null)[] = [null];
    for (const entry of await repo.mstUtil.deserializeNodeData(this.#storage, obj)) {
      if ('pointer' in entry) children[keys.length] = latin1(entry.pointer.bytes);
      else {
        keys.push(entry.key);
        values.push(latin1(entry.value.bytes));
        children.push(null);
      }
    }
    return { keys, values, children };
  }

  async encodeNode(node: LibraryNode): Promise<Uint8Array> {
    const { repo, cbor } = this.#parts;
    const entries = this.#entriesOf(node, (cid) => repo.MST.load(this.#storage, cid));
    return cbor.encode(repo.mstUtil.serializeNodeData(entries));
  }

  edit(rootCid: string, nodes: ReadonlyMap<string, PlacedNode>): TreeEditor {
    const { MST } = this.#parts.repo;
    // With their layers: the package would ask a leafless node's children, who may not be there.
    const treeOf = (cid: string, layer: number): Tree => {
      const placed = nodes.get(cid);
      const pointer = this.#cid(cid);
      if (placed === undefined) return MST.load(this.#storage, pointer, { layer });
      const entries = this.#entriesOf(placed.node, (child) =>
        treeOf(latin1(child.bytes), layer - 1),
      );
      return new MST(this.#storage, pointer, entries, layer);
    };
    let root = treeOf(rootCid, nodes.get(rootCid)?.layer ?? 0);
    return {
      insert: async (key, value) => {
        root = await root.add(key, this.#cid(value));
      },
      update: async (key, value) => {
        root = await root.update(key, this.#cid(value));
      },
      remove: async (key) => {
        root = await root.delete(key);
      },
      rootCid: async () => latin1((await root.getPointer()).bytes),
    };
  }

  #entriesOf({ keys, values, children }: LibraryNode, toTree: (cid: Cid) => Tree): NodeEntry[] {
    const entries: NodeEntry[] = [];
    for (const [index, child] of children.entries()) {
      const key = keys[index - 1];
      const value = values[index - 1];
      if (key !== undefined && value !== undefined) {
        entries.push(new this.#parts.repo.Leaf(key, this.#cid(value)));
      }
      if (child !== null) entries.push(toTree(this.#cid(child)));
    }
    return entries;
  }

  #cid(cid: string): Cid {
    return this.#parts.data.decodeCid(plain(Buffer.from(cid, 'latin1')));
  }
}
