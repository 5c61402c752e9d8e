/**
 * What a judge that is not ours needs from a library that is not ours: encodings, CARs,
 * signatures, edits of partial trees. CIDs are 36 characters, one per byte, everywhere.
 *
 * A library may throw at anything it does not like: that is its way of refusing.
 */

/** Any decoded value: what it is made of is the library's own. */
export type Value = unknown;

export type CarContent = {
  readonly roots: readonly string[];
  /** Each was found to hash to its CID. */
  readonly blocks: ReadonlyMap<string, Uint8Array>;
};

/** A node of the tree as the library reads it; there is one child more than there are keys. */
export type LibraryNode = {
  readonly keys: readonly string[];
  readonly values: readonly string[];
  readonly children: readonly (string | null)[];
};

/** A node that has been checked, with its place. */
export type PlacedNode = {
  readonly cid: string;
  readonly layer: number;
  readonly node: LibraryNode;
};

/** Edits of the tree under a root, of which only these nodes are there. */
export type TreeEditor = {
  /** Of a key that is not there. */
  insert(key: string, value: string): Promise<void>;
  /** Of a key that is. */
  update(key: string, value: string): Promise<void>;
  remove(key: string): Promise<void>;
  rootCid(): Promise<string>;
};

export type Library = {
  readonly name: string;
  /** The first item and where it ends; `decode` refuses whatever stands behind it. */
  decodeFirst(bytes: Uint8Array): { readonly value: Value; readonly bytesRead: number };
  decode(bytes: Uint8Array): Value;
  encode(value: Value): Uint8Array;
  /** The CID where it is a link, whatever its form; as latin1. */
  linkOf(value: Value): string | undefined;
  bytesOf(value: Value): Uint8Array | undefined;
  readCar(bytes: Uint8Array): Promise<CarContent>;
  verify(didKey: string, message: Uint8Array, signature: Uint8Array): Promise<boolean>;
  readNode(bytes: Uint8Array): Promise<LibraryNode>;
  /** The one right encoding of a node. */
  encodeNode(node: LibraryNode): Promise<Uint8Array>;
  edit(
    rootCid: string,
    nodes: ReadonlyMap<string, PlacedNode>,
    blocks: ReadonlyMap<string, Uint8Array>,
  ): TreeEditor;
  readonly syntax: {
    isTid(text: string): boolean;
    isDid(text: string): boolean;
    isDatetime(text: string): boolean;
    isNsid(text: string): boolean;
    isRecordKey(text: string): boolean;
  };
};
