/**
 * A commit's operations against its partial tree (spec §1.10 steps 4–9): the forward check that
 * the tree shows each operation, then the operations undone one by one, which must give back the
 * tree before the commit. Deletes are undone first, then updates, then creates, each by path: any
 * order is right where the proof is complete, and one fixed order makes a verdict repeatable.
 * Does not know records, signatures or what the tree before the commit should have been.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import type { RejectCode } from '../reject/codes.ts';
import { OPS_MAX, type OpAction, type OpView } from '../wire/ops.ts';
import type { Cid } from './cid.ts';
import { keyHeight } from './key-height.ts';
import type { PartialTree } from './mst.ts';
import { NONE } from './mst-arena.ts';
import { TreeEditor } from './mst-edit.ts';
import { TreeEncoder } from './mst-encode.ts';

const UNDO_RANK: Readonly<Record<OpAction, number>> = { delete: 0, update: 1, create: 2 };

export class Inversion {
  readonly #tree: PartialTree;
  readonly #editor: TreeEditor;
  readonly #encoder: TreeEncoder;
  #ops: readonly OpView[] = [];
  /** Operation numbers in the order of undoing. */
  readonly #order: number[] = [];
  readonly #keyAt = new Int32Array(OPS_MAX);
  readonly #height = new Int32Array(OPS_MAX);
  readonly #byUndoing = (a: number, b: number): number => {
    const opA = this.#op(a);
    const opB = this.#op(b);
    const rank = UNDO_RANK[opA.action] - UNDO_RANK[opB.action];
    if (rank !== 0) return rank;
    return opA.path < opB.path ? -1 : 1;
  };

  constructor(tree: PartialTree) {
    this.#tree = tree;
    this.#editor = new TreeEditor(tree);
    this.#encoder = new TreeEncoder(tree);
  }

  /**
   * Takes the operations of the commit whose tree was just loaded (paths are ASCII, no path
   * twice) and checks that the tree shows each of them (step 4, H99, H100).
   */
  checkForward(ops: readonly OpView[], opCount: number): RejectCode | undefined {
    assert(opCount <= OPS_MAX, 'more operations than a commit may have');
    this.#ops = ops;
    this.#order.length = opCount;
    for (let index = 0; index < opCount; index++) {
      this.#order[index] = index;
      const fault = this.#checkOp(index);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  /** Undoes the operations that `checkForward` accepted. Once per load: it changes the tree. */
  undo(): RejectCode | undefined {
    if (this.#order.length > 1) this.#order.sort(this.#byUndoing);
    for (const index of this.#order) {
      const fault = this.#undoOp(index);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  /** Root CID of the tree as `undo` left it (step 9). */
  rootCid(): Cid {
    return this.#encoder.rootCid();
  }

  #op(index: number): OpView {
    return this.#ops[index] as OpView;
  }

  #checkOp(index: number): RejectCode | undefined {
    const { action, path, cid } = this.#op(index);
    const arena = this.#tree.arena;
    const keyAt = arena.addText(path);
    const height = keyHeight(arena.view, keyAt, path.length);
    this.#keyAt[index] = keyAt;
    this.#height[index] = height;
    this.#editor.select(keyAt, path.length, height);
    const leaf = this.#editor.find();
    if (this.#editor.fault !== undefined) return this.#editor.fault;
    if (action === 'delete') return leaf === NONE ? undefined : 'commit_op_mismatch';
    const isShown = leaf !== NONE && arena.cidAt(arena.itemCidAt[leaf] as number) === cid;
    return isShown ? undefined : 'commit_op_mismatch';
  }

  #undoOp(index: number): RejectCode | undefined {
    const { action, path, cid, prev } = this.#op(index);
    const keyAt = this.#keyAt[index] as number;
    this.#editor.select(keyAt, path.length, this.#height[index] as number);
    if (action === 'create') return this.#editor.remove(cid);
    const prevAt = this.#tree.arena.addText(prev);
    return action === 'delete' ? this.#editor.insert(prevAt) : this.#editor.set(cid, prevAt);
  }
}
