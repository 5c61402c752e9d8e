/**
 * The recorded session of three real hosts: every commit and sync of the host in charge is right
 * under a key that the account had, in order, and leads to the final head of every repo.
 */
import t from 'tap';
import { parseMethodKey } from '../../lib/identity/key.ts';
import { cidText } from '../../lib/repo/cid.ts';
import { verifyCommit } from '../../lib/verify/commit.ts';
import type { KnownRepo } from '../../lib/verify/order.ts';
import { initSignature, type SigningKey } from '../../lib/verify/signature.ts';
import { RepoResult, type VerifyContext } from '../../lib/verify/signed.ts';
import { verifySync } from '../../lib/verify/sync.ts';
import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_COMMIT, KIND_SYNC, type Kind } from '../../lib/wire/kinds.ts';
import { Peek, peek } from '../../lib/wire/peek.ts';
import {
  readSessionFrames,
  readSessionIdentities,
  readSessionWorld,
  type SessionIdentity,
} from '../helpers/real-session.ts';

/** After the session, so that no rev is in the future. */
const LATER_MS = Date.UTC(2027, 0, 1);
const world = readSessionWorld();
const identities = readSessionIdentities();
const SKIPPED = new Set([...world.stale, ...world.oddSync]);

type Document = {
  readonly verificationMethod: readonly {
    readonly type: string;
    readonly publicKeyMultibase: string;
  }[];
};

/** Every signing key that the account ever had; the log of a did:plc has them all. */
function keysOf({ doc, audit = [] }: SessionIdentity): SigningKey[] {
  const logged = audit.flatMap(({ operation }) => {
    const methods = operation['verificationMethods'] as { atproto?: string } | undefined;
    const multibase = methods?.atproto?.slice('did:key:'.length) ?? '';
    return [parseMethodKey('Multikey', multibase)];
  });
  const current = (doc as Document | null)?.verificationMethod ?? [];
  const now = current.map((method) => parseMethodKey(method.type, method.publicKeyMultibase));
  return [...logged, ...now].filter((key) => key !== undefined);
}

await initSignature();
const view = new EventView();
const out = new RepoResult();

function verdictWith(
  keys: readonly SigningKey[],
  buf: Buffer,
  kind: Kind,
  known: KnownRepo | null,
): string {
  const verify = kind === KIND_COMMIT ? verifyCommit : verifySync;
  let verdict = 'no key';
  for (const key of keys) {
    const context: VerifyContext = { key, known, epochMs: LATER_MS, isStrict: true };
    verdict = verify(buf, view, context, out) ?? 'pass';
    if (verdict !== 'commit_signature_bad') break;
  }
  return verdict;
}

t.test('all commits and syncs of a real session', async (t) => {
  const known = new Map<string, KnownRepo>();
  const refused: string[] = [];
  const discontinuous: number[] = [];
  const counts = { commits: 0, syncs: 0, unchanged: 0 };
  const peeked = new Peek();
  for (const { number, bytes } of readSessionFrames()) {
    if (peek(bytes, peeked) !== 'event' || SKIPPED.has(number)) continue;
    const kind = peeked.kind as Kind;
    if (kind !== KIND_COMMIT && kind !== KIND_SYNC) continue;
    const decoded = decodeEvent(bytes, kind, view);
    const keys = keysOf(identities[view.did] as SessionIdentity);
    const verdict = decoded ?? verdictWith(keys, bytes, kind, known.get(view.did) ?? null);
    if (verdict !== 'pass') {
      refused.push(`${number} ${view.did} ${verdict}`);
      continue;
    }
    if (kind === KIND_COMMIT) counts.commits++;
    else counts.syncs++;
    if (out.isNoChange) counts.unchanged++;
    if (out.isDiscontinuous) discontinuous.push(number);
    const { rev, dataCid, commitCid } = out;
    known.set(view.did, { rev, dataCid, commitCid });
  }
  t.same(refused, []);
  t.same(discontinuous, []);
  t.comment(JSON.stringify(counts));
  t.ok(counts.commits > 1800 && counts.syncs > 100);
  for (const [did, final] of Object.entries(world.final)) {
    if (final.rev === undefined) continue;
    t.equal(known.get(did)?.rev, final.rev, did);
    t.equal(cidText(known.get(did)?.commitCid ?? ''), final.cid, did);
  }
});

t.test('oddSync: a new rev around the commit of the old host is refused', async (t) => {
  const frames = readSessionFrames();
  for (const number of world.oddSync) {
    const bytes = frames[number - 1]?.bytes ?? Buffer.alloc(0);
    t.equal(decodeEvent(bytes, KIND_SYNC, view), undefined);
    const keys = keysOf(identities[view.did] as SessionIdentity);
    t.equal(verdictWith(keys, bytes, KIND_SYNC, null), 'commit_rev_mismatch');
  }
});
