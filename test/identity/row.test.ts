/** Identities as plain rows and back. */
import t from 'tap';
import { toEpochMs } from '../../lib/base/units.ts';
import type { IdentityRecord, IdentityState } from '../../lib/identity/cache.ts';
import { keyToText } from '../../lib/identity/key.ts';
import { identityFromRow, identityToRow } from '../../lib/identity/row.ts';
import { DID, KEY } from './documents.ts';

const key = { curve: 'k256' as const, bytes: KEY };
const resolvedMs = toEpochMs(1_767_225_600_000);
const whole: IdentityRecord = {
  did: DID,
  state: 'found',
  identity: { did: DID, pdsHost: 'pds.example.com', key, handle: 'alice.example.com' },
  resolvedMs,
};

t.test('a record survives its row', async (t) => {
  t.same(identityToRow(whole), {
    did: DID,
    state: 'found',
    pds_host: 'pds.example.com',
    signing_key: keyToText(key),
    handle: 'alice.example.com',
    resolved_ms: resolvedMs,
  });
  t.same(identityFromRow(identityToRow(whole)), whole);
  const bare: IdentityRecord = {
    ...whole,
    identity: { did: DID, pdsHost: null, key: null, handle: null },
  };
  t.same(identityFromRow(identityToRow(bare)), bare);
  for (const state of ['not_found', 'tombstoned', 'document_bad'] as IdentityState[]) {
    const negative: IdentityRecord = { did: DID, state, identity: null, resolvedMs };
    t.same(identityFromRow(identityToRow(negative)), negative);
  }
});

t.test('a row that is not ours is no record', async (t) => {
  const row = identityToRow(whole);
  t.equal(identityFromRow({ ...row, state: 'resting' }), undefined);
  t.equal(identityFromRow({ ...row, state: 'constructor' }), undefined);
  t.equal(identityFromRow({ ...row, signing_key: 'k256:short' }), undefined);
  t.equal(identityFromRow({ ...row, signing_key: '' }), undefined);
  t.equal(identityFromRow({ ...row, resolved_ms: Number.NaN }), undefined);
});
