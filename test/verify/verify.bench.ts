/**
 * Cost of judging a one-operation commit, beside the floor that no verifier goes below: one
 * signature and the hash of every block. Run by hand: node test/verify/verify.bench.ts
 * Ratios within one run mean something, numbers do not.
 */
import { bench, do_not_optimize, group, run, summary } from 'mitata';
import { CarIndex } from '../../lib/repo/car.ts';
import { CommitObject } from '../../lib/repo/commit.ts';
import { PartialTree } from '../../lib/repo/mst.ts';
import { verifyCommit } from '../../lib/verify/commit.ts';
import type { KnownRepo } from '../../lib/verify/order.ts';
import { initSignature, signatureVerdict } from '../../lib/verify/signature.ts';
import { RepoResult } from '../../lib/verify/signed.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_COMMIT } from '../../lib/wire/kinds.ts';
import { commitFrame } from '../../scripts/fleet/event-frames.ts';
import { encodeTid, type RepoWrite, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import { DID, knownOf, NOW_MS, post } from './forge.ts';

const ROUND = 128;
const COLLECTIONS = ['app.bsky.feed.like', 'app.bsky.feed.post', 'app.bsky.graph.follow'] as const;

type Case = { readonly frame: Buffer; readonly view: EventView; readonly known: KnownRepo };

const pathOf = (index: number): string =>
  `${COLLECTIONS[index % 3]}/${encodeTid((NOW_MS - 1e9 + index * 7919) * 1000, index & 1023)}`;

/** Mostly creates, some deletes, a few updates, as the network has them. */
function writeOf(index: number, records: number, repo: SignedRepo): RepoWrite {
  const paths = repo.paths;
  const old = paths[(index * 37) % paths.length] ?? '';
  if (index % 8 === 7) return { action: 'delete', path: old };
  const record = post(`a text of the usual length, number ${index} ${'x'.repeat(80)}`);
  if (index % 32 === 3) return { action: 'update', path: old, record };
  return { action: 'create', path: pathOf(records + index), record };
}

function casesOf(repo: SignedRepo, records: number): Case[] {
  const initial = Array.from({ length: records }, (_, i) => [pathOf(i), post(`${i}`)] as const);
  repo.fill(initial, NOW_MS - 3_600_000);
  return Array.from({ length: ROUND }, (_, index) => {
    const known = knownOf(repo);
    const parts = repo.commit([writeOf(index, records, repo)], {
      epochMs: NOW_MS - 60_000 + index,
    });
    const frame = commitFrame(parts, { seq: index + 1, time: '2026-09-21T14:13:20.000Z' });
    const view = new EventView();
    const refused = decodeEvent(frame, KIND_COMMIT, view);
    if (refused !== undefined) throw new Error(refused);
    return { frame, view, known };
  });
}

function measure(curve: 'k256' | 'p256', records: number): void {
  const repo = new SignedRepo({ did: DID, seed: `bench ${records}`, curve });
  const cases = casesOf(repo, records);
  const key = repo.keypair;
  const out = new RepoResult();
  const car = new CarIndex();
  const object = new CommitObject();
  const tree = new PartialTree(car);
  let turn = 0;
  const next = (): Case => {
    turn = (turn + 1) % ROUND;
    return cases[turn] as Case;
  };
  const open = ({ frame, view }: Case): void => {
    car.load(frame, view.blocksStart, view.blocksEnd);
    const root = car.findRoot();
    object.parse(frame, car.blockStart(root), car.blockEnd(root));
  };
  const bytes = cases.reduce((sum, { frame }) => sum + frame.length, 0) / ROUND;
  group(`${curve}, repo of ${records} records, mean ${Math.round(bytes)} B`, () => {
    summary(() => {
      bench('the floor: signature and hash of every block', () => {
        open(next());
        do_not_optimize(signatureVerdict(key, object.unsignedBytes(), object.signature));
        do_not_optimize(car.isIntact());
      }).baseline(true);
      bench('verifyCommit', () => {
        const { frame, view, known } = next();
        const context = { key, known, epochMs: NOW_MS, isStrict: true };
        const fault = verifyCommit(frame, view, context, out);
        if (fault !== undefined) throw new Error(fault);
      });
      bench('CAR and commit object', () => open(next()));
      bench('hash of every block', () => {
        open(next());
        do_not_optimize(car.isIntact());
      });
      bench('CAR, commit object, hash of every block and tree', () => {
        const each = next();
        open(each);
        if (!car.isIntact()) throw new Error('blocks');
        if (tree.load(each.frame, object.dataCidAt) !== undefined) throw new Error('tree');
      });
    });
  });
}

await initSignature();
measure('k256', 100);
measure('k256', 5000);
measure('p256', 5000);
await run();
