/**
 * Do the operations of a commit lead from the tree it claims to start from to the tree it signs
 * (spec §1.10): the partial tree is right, shows every operation, holds every record, and with
 * the operations undone it is `prevData`. Calls `repo/`; all branching is here.
 * @thread any
 */
import { assert } from '../base/assert.ts';
import type { RejectCode } from '../reject/codes.ts';
import { EMPTY_TREE_CID } from '../repo/cid.ts';
import { Inversion } from '../repo/invert.ts';
import { PartialTree } from '../repo/mst.ts';
import type { EventView } from '../wire/event.ts';
import type { OpView } from '../wire/ops.ts';
import { recordVerdict } from './limits.ts';
import type { SignedCommit, VerifyContext } from './signed.ts';

export class TreeProof {
  readonly #signed: SignedCommit;
  readonly #tree: PartialTree;
  readonly #inversion: Inversion;
  #isWaived = false;
  #unlinkedBlocks = 0;

  /** Judges the commits that are opened in `signed`. */
  constructor(signed: SignedCommit) {
    this.#signed = signed;
    this.#tree = new PartialTree(signed.car);
    this.#inversion = new Inversion(this.#tree);
  }

  /** The commit judged last was let through where a strict verdict would have refused it. */
  get isWaived(): boolean {
    return this.#isWaived;
  }

  /** Blocks to which nothing in the commit judged last leads. */
  get unlinkedBlocks(): number {
    return this.#unlinkedBlocks;
  }

  verdict(buf: Buffer, view: EventView, context: VerifyContext): RejectCode | undefined {
    this.#isWaived = false;
    this.#unlinkedBlocks = 0;
    if (view.opCount === 0) return this.#emptyVerdict(buf, view, context);
    // Undoing needs `prev`; only the old protocol did without (H60).
    if (view.isOpPrevMissing && this.#refuses(context)) return 'commit_op_bad';
    const fault = this.#forwardVerdict(buf, view);
    if (fault !== undefined) return fault;
    if (view.hasPrevData) return this.#chainVerdict(view);
    if (context.known === null || this.#isWaived) return undefined;
    // Known, without `prevData`: only a repo that starts again from nothing (CH-5, A47).
    const isFirst = this.#inversion.undo() === undefined && this.#isTreeEmpty();
    return !isFirst && this.#refuses(context) ? 'commit_prev_data_missing' : undefined;
  }

  /** A commit without operations: a new key, or the first of a repo. Needs no tree (H95, H96). */
  #emptyVerdict(buf: Buffer, view: EventView, context: VerifyContext): RejectCode | undefined {
    const dataCid = this.#signed.object.dataCid;
    this.#unlinkedBlocks = this.#signed.countSpare(buf);
    if (view.hasPrevData) {
      return dataCid === view.prevData ? undefined : 'commit_inversion_failed';
    }
    if (context.known === null || dataCid === EMPTY_TREE_CID) return undefined;
    return this.#refuses(context) ? 'commit_prev_data_missing' : undefined;
  }

  /** A commit of the old protocol: refused, or let through and marked (A12, A14). */
  #refuses(context: VerifyContext): boolean {
    this.#isWaived = !context.isStrict;
    return context.isStrict;
  }

  #forwardVerdict(buf: Buffer, view: EventView): RejectCode | undefined {
    const badTree = this.#tree.load(buf, this.#signed.object.dataCidAt);
    if (badTree !== undefined) return badTree;
    const badOp = this.#inversion.checkForward(view.ops, view.opCount);
    if (badOp !== undefined) return badOp;
    const badRecord = this.#recordsVerdict(buf, view);
    if (badRecord !== undefined) return badRecord;
    this.#tree.useBlock(this.#signed.car.findRoot());
    this.#unlinkedBlocks = this.#tree.countUnlinked();
    return undefined;
  }

  #recordsVerdict(buf: Buffer, view: EventView): RejectCode | undefined {
    const arena = this.#tree.arena;
    for (let index = 0; index < view.opCount; index++) {
      const op = view.ops[index] as OpView;
      if (op.action === 'delete') continue;
      const cidAt = arena.addText(op.cid);
      const fault = recordVerdict(this.#signed.car, buf, arena.bytes, cidAt);
      if (fault !== undefined) return fault;
      this.#tree.useBlock(this.#signed.car.find(arena.bytes, cidAt));
    }
    return undefined;
  }

  #chainVerdict(view: EventView): RejectCode | undefined {
    assert(!view.isOpPrevMissing, 'prevData without prev is refused by the decoder');
    const fault = this.#inversion.undo();
    if (fault !== undefined) return fault;
    return this.#inversion.rootCid() === view.prevData ? undefined : 'commit_inversion_failed';
  }

  #isTreeEmpty(): boolean {
    return this.#inversion.rootCid() === EMPTY_TREE_CID;
  }
}
