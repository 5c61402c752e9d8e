/** The commit object, its signature, and the key that counts (spec sheet §5.5). */
import { ECDH } from 'node:crypto';
import { DrislWriter } from '../../scripts/fleet/drisl.ts';
import { identityFrame } from '../../scripts/fleet/event-frames.ts';
import { type Curve, Keypair } from '../../scripts/fleet/repo-keypair.ts';
import { encodeCommit, encodeTid } from '../../scripts/fleet/signed-repo.ts';
import { documentOf, encodeBase58, keyEntry, multikey, pdsEntry } from '../identity/documents.ts';
import { someCid } from '../repo/tree-kit.ts';
import type { VerdictCase } from './case.ts';
import {
  changed,
  derOf,
  type Entry,
  highS,
  ORDERS,
  otherForm,
  replaced,
  scalar,
  signature,
  signedBy,
  value,
  withExtra,
  without,
} from './commit-forms.ts';
import { committed, create, forged, newPath, oneDraft } from './drafts.ts';
import { flood } from './flood.ts';
import {
  agreed,
  dropCase,
  groupCase,
  type Input,
  type Inputs,
  passCase,
  verdictOfAll,
} from './inputs.ts';
import type { Scene, SceneAccount } from './scene.ts';

const OTHER_KEY = new Keypair('k256', 'somebody else');
const ZERO = Buffer.alloc(32);

/** The same inputs on an account of either curve. */
async function onBothCurves(scene: Scene, inputs: Inputs): Promise<string> {
  const verdicts: string[] = [];
  for (const curve of ['k256', 'p256'] as const) {
    verdicts.push(await verdictOfAll(scene, inputs, scene.account({ curve })));
  }
  return agreed(['k256', 'p256'], verdicts);
}

/** The verdict, and how often the directory was asked meanwhile. */
async function withLookUps(scene: Scene, run: () => Promise<string>): Promise<string> {
  await scene.settled();
  const before = scene.directory.requestCount;
  const verdict = await run();
  const count = scene.directory.requestCount - before;
  return `${verdict}, ${count} ${count === 1 ? 'look-up' : 'look-ups'}`;
}

/** A new key in the account's document, with which its repo signs from now on; the old key. */
function rotate(scene: Scene, { did, repo, host, handle }: SceneAccount): Keypair {
  const old = repo.keypair;
  repo.rotateKey(`${did} anew`, old.curve);
  scene.directory.set(did, repo.keypair, host.origin, handle);
  return old;
}

/** A text that is as right as a key's but for what it says. */
const BAD_KEYS: Readonly<Record<string, string>> = {
  Ed25519: `z${encodeBase58(Buffer.from([0xed, 0x01, ...OTHER_KEY.bytes.subarray(1)]))}`,
  'bad base58': `${OTHER_KEY.multibase.slice(0, -1)}0`,
  'a byte short': multikey('k256', OTHER_KEY.bytes.subarray(0, -1)),
  'a byte long': multikey('k256', Buffer.concat([OTHER_KEY.bytes, Buffer.from([1])])),
  'not on k256': multikey('k256', pointOff('k256')),
  'not on p256': multikey('p256', pointOff('p256')),
};

/** 33 bytes like a compressed point whose x no point of the curve has. */
function pointOff(curve: Curve): Buffer {
  const name = curve === 'k256' ? 'secp256k1' : 'prime256v1';
  for (let x = 1; ; x++) {
    const bytes = Buffer.alloc(33);
    bytes.writeUInt8(2, 0);
    bytes.writeUInt8(x, 32);
    try {
      ECDH.convertKey(bytes, name);
    } catch {
      return bytes;
    }
  }
}

export const COMMIT: readonly VerdictCase[] = [
  dropCase({
    id: 'H75',
    input: 'the commit block is no map, or no CBOR',
    specVerdict: 'DROP(commit)',
    rules: 'CM-1',
    code: 'commit_object_bad',
    inputs: {
      'a list': changed({ commitBlock: () => new DrislWriter().array(0).done() }),
      'a text': changed({ commitBlock: () => value.text('commit') }),
      null: changed({ commitBlock: () => new DrislWriter().null().done() }),
      'no CBOR': changed({ commitBlock: () => Buffer.alloc(200, 0xff) }),
      'a byte short': changed({
        commitBlock: (fields, keypair) =>
          encodeCommit(fields, keypair.sign(encodeCommit(fields))).subarray(0, -1),
      }),
    },
  }),
  dropCase({
    id: 'H76',
    input: 'version 2, version 4, no version',
    specVerdict: 'DROP(commit-version)',
    rules: 'CM-1',
    code: 'commit_version_bad',
    inputs: {
      '2': changed({ fields: { version: 2 } }),
      '4': changed({ fields: { version: 4 } }),
      missing: without('version'),
    },
  }),
  dropCase({
    id: 'H77',
    input: '`did` of the commit is not `repo` of the message',
    specVerdict: 'DROP(did-mismatch)',
    rules: 'CM-5',
    code: 'commit_did_mismatch',
    inputs: {
      nobody: changed({ fields: { did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' } }),
      'in another case': ({ did, repo }) =>
        forged(oneDraft(repo), { fields: { did: did.toUpperCase() } }),
      'a commit object in the name of a neighbour': ({ repo }) => {
        const from = oneDraft(repo);
        return forged(from, { fields: { did: `${from.parts.did.slice(0, -1)}2` } });
      },
    },
  }),
  groupCase(
    {
      id: 'H78',
      input:
        '`rev` of the message is not the one of the commit: a later or an earlier one, no TID, ' +
        'the one before',
      specVerdict: 'DROP(rev-mismatch)',
      rules: 'CM-5, CH-1',
    },
    [
      {
        expected: 'DROP commit_rev_mismatch',
        label: 'a later one, an earlier one',
        inputs: {
          'later outside': ({ repo }) => forged(oneDraft(repo), { outer: { rev: laterRev() } }),
          'later inside': ({ repo }) => forged(oneDraft(repo), { fields: { rev: laterRev() } }),
        },
      },
      {
        expected: 'DROP commit_rev_bad',
        label: 'no TID',
        inputs: {
          'no TID outside': ({ repo }) => {
            const from = oneDraft(repo);
            return forged(from, { outer: { rev: `${from.parts.rev.slice(0, -2)}00` } });
          },
        },
      },
      {
        expected: 'DROP commit_rev_equivocated',
        label: 'the one before',
        inputs: {
          'the rev before outside': ({ repo }) =>
            forged(oneDraft(repo), { outer: { rev: repo.rev } }),
        },
      },
    ],
  ),
  dropCase({
    id: 'H79',
    input: '`data` missing, a link to a raw block, a sha-512 link',
    specVerdict: 'DROP(commit)',
    rules: 'CD-4, CM-1',
    code: 'commit_object_bad',
    inputs: {
      missing: without('data'),
      raw: replaced('data', value.link(`\x01\x55${someCid('x').slice(2)}`)),
      'sha-512': replaced(
        'data',
        Buffer.concat([Buffer.from('d82a58450001711340', 'hex'), Buffer.alloc(64, 7)]),
      ),
    },
  }),
  dropCase({
    id: 'H80',
    input: 'no `prev`',
    specVerdict: 'DROP(commit)',
    rules: 'CM-1, A23',
    code: 'commit_object_bad',
    inputs: {
      'signed without it': without('prev'),
      'signed as null': otherForm((entries) => entries.filter(([key]) => key !== 'prev')),
    },
  }),
  passCase({
    id: 'H81',
    input: '`prev` a CID',
    specVerdict: 'PASS',
    rules: 'CM-1, CM-7',
    inputs: {
      'the commit before': ({ repo }) => {
        const prev = repo.commitCid;
        return forged(committed(repo, [create(newPath())]), { fields: { prev } });
      },
      any: ({ repo }) =>
        forged(committed(repo, [create(newPath())]), { fields: { prev: someCid('prev') } }),
    },
  }),
  dropCase({
    id: 'H82',
    input:
      'keys of the commit out of order, twice, or not in their shortest form; ' +
      'the signature over the canonical form',
    specVerdict: 'DROP(commit-cbor)',
    rules: 'CB-2, CB-3, CM-2, A24',
    code: 'commit_object_bad',
    inputs: {
      'out of order': otherForm((entries) => entries.toReversed()),
      'two swapped': otherForm(([did, rev, ...rest]) => [rev as Entry, did as Entry, ...rest]),
      twice: otherForm(([did, ...rest]) => [did as Entry, did as Entry, ...rest]),
      'sig twice': otherForm(([did, rev, sig, ...rest]) =>
        [did, rev, sig, sig, ...rest].map((entry) => entry as Entry),
      ),
      'version as 18 03': otherForm((entries) => [
        ...entries.slice(0, -1),
        ['version', Buffer.from('1803', 'hex')],
      ]),
      'a long head of rev': otherForm(([did, rev, ...rest]) => {
        const text = (rev as Entry)[1].subarray(1);
        const long = Buffer.concat([Buffer.from([0x78, text.length]), text]);
        return [did as Entry, ['rev', long], ...rest];
      }),
    },
  }),
  passCase({
    id: 'H83',
    input: 'a field that we do not know, covered by the signature',
    specVerdict: 'PASS',
    rules: 'CM-3, A22',
    inputs: {
      x: withExtra((entries) => [['x', value.text('y')], ...entries]),
      'behind the others': withExtra((entries) => [
        ...entries,
        ['anything', new DrislWriter().map(1).text('a').array(1).null().done()],
      ]),
    },
  }),
  {
    id: 'H84',
    input: '`sig` missing, empty, of 63 or 65 bytes',
    specVerdict: 'DROP(sig)',
    rules: 'SG-2',
    expected: 'DROP commit_signature_malformed',
    run: (scene) =>
      onBothCurves(scene, {
        missing: changed({ commitBlock: (fields) => encodeCommit(fields) }),
        empty: changed(signature(() => Buffer.alloc(0))),
        '63': changed(signature((sig) => sig.subarray(0, 63))),
        '65': changed(signature((sig) => Buffer.concat([sig, Buffer.alloc(1)]))),
      }),
  },
  {
    id: 'H85',
    input: 'a DER signature',
    specVerdict: 'DROP(sig)',
    rules: 'SG-2, SG-4',
    expected: 'DROP commit_signature_malformed',
    run: (scene) => onBothCurves(scene, { DER: changed(signature(derOf)) }),
  },
  {
    id: 'H86',
    input: 'a high-S signature, k256 and p256',
    specVerdict: 'DROP(sig-high-s)',
    rules: 'SG-3, SG-4',
    expected: 'DROP commit_signature_high_s',
    run: (scene) => onBothCurves(scene, { 'high S': changed(signature(highS)) }),
  },
  {
    id: 'H87',
    input: 'r = 0, s = 0, r or s not below the order',
    specVerdict: 'DROP(sig)',
    rules: 'SG-2',
    expected: 'DROP commit_signature_malformed',
    run: (scene) =>
      onBothCurves(scene, {
        'r = 0': changed(signature((sig) => Buffer.concat([ZERO, sig.subarray(32)]))),
        's = 0': changed(signature((sig) => Buffer.concat([sig.subarray(0, 32), ZERO]))),
        'r = n': changed(
          signature((sig, curve) => Buffer.concat([scalar(ORDERS[curve]), sig.subarray(32)])),
        ),
        'r = 2^256 - 1': changed(
          signature((sig) => Buffer.concat([Buffer.alloc(32, 0xff), sig.subarray(32)])),
        ),
        's = n': changed(
          signature((sig, curve) => Buffer.concat([sig.subarray(0, 32), scalar(ORDERS[curve])])),
        ),
      }),
  },
  {
    id: 'H88',
    input: 'the right form, signed by another key: twice, one look-up in all',
    specVerdict: 'DROP(sig) after one identity refresh',
    rules: 'SG-7, LM-11',
    expected: 'DROP commit_signature_bad, 1 look-up',
    run: (scene) =>
      withLookUps(scene, () =>
        verdictOfAll(scene, {
          once: changed(signedBy(OTHER_KEY)),
          again: changed(signedBy(OTHER_KEY)),
        }),
      ),
  },
  {
    id: 'H89',
    input: 'the key has just changed, our copy of the document is old, no #identity yet',
    specVerdict: 'PASS after an identity refresh',
    rules: 'SG-7, A28',
    expected: 'PASS, 1 look-up',
    run: (scene) => {
      const account = scene.account();
      const { repo } = account;
      return withLookUps(scene, () =>
        verdictOfAll(
          scene,
          {
            'signed by the new key': () => {
              rotate(scene, account);
              return forged(committed(repo, [create(newPath())]));
            },
          },
          account,
        ),
      );
    },
  },
  {
    id: 'H90',
    input: 'signed by the key before, after the change; known from a commit, from #identity',
    specVerdict: 'DROP(sig)',
    rules: 'SG-7',
    expected: 'DROP commit_signature_bad',
    run: async (scene) => {
      const [seen, told] = [scene.account(), scene.account()];
      await scene.settled();
      const verdicts: string[] = [];
      for (const account of [seen, told]) {
        const { did, handle, repo } = account;
        const old = rotate(scene, account);
        if (account === told) {
          scene.goodFrame(account, (stamp) => identityFrame({ did, handle }, stamp));
        }
        scene.good(account);
        const inputs = { 'by the old key': () => forged(oneDraft(repo), signedBy(old)) };
        verdicts.push(await verdictOfAll(scene, inputs, account));
      }
      return agreed(['a commit', 'an #identity'], verdicts);
    },
  },
  {
    id: 'H91',
    input: 'signed by the `#atproto_label` key of the same document, before or behind `#atproto`',
    specVerdict: 'DROP(sig)',
    rules: 'SG-5',
    expected: 'DROP commit_signature_bad',
    run: async (scene) => {
      const verdicts: string[] = [];
      for (const isFirst of [true, false]) {
        const account = scene.account({ isAnnounced: false });
        const { did, host, repo } = account;
        const own = keyEntry(did, repo.keypair.multibase);
        const label = keyEntry(did, OTHER_KEY.multibase, { id: `${did}#atproto_label` });
        const verificationMethod = isFirst ? [label, own] : [own, label];
        const service = [pdsEntry(host.origin)];
        scene.directory.setDocument(did, documentOf(did, { verificationMethod, service }));
        const inputs = { 'by the label key': changed(signedBy(OTHER_KEY)) };
        verdicts.push(await verdictOfAll(scene, inputs, account));
      }
      return agreed(['first', 'second'], verdicts);
    },
  },
  {
    id: 'H92',
    input: '10,000 bad signatures of ten accounts of one host',
    specVerdict: 'DROP(sig), at most N identity refreshes, host throttled',
    rules: 'LM-11, SG-7',
    expected: 'DROP commit_signature_bad 10000 times, 10 look-ups, host throttled',
    run: flood,
  },
  {
    id: 'H93',
    input: 'a key in the document that is Ed25519, bad base58, of wrong length, off its curve',
    specVerdict: 'DROP(no-key)',
    rules: 'SG-5',
    expected: 'DROP identity_key_missing',
    run: (scene) => {
      const input = (multibase: string): Input => {
        return () => {
          const { did, host, repo } = scene.account({ isAnnounced: false });
          const verificationMethod = [keyEntry(did, multibase)];
          const service = [pdsEntry(host.origin)];
          scene.directory.setDocument(did, documentOf(did, { verificationMethod, service }));
          return forged(committed(repo, [create(newPath())]));
        };
      };
      const inputs = Object.entries(BAD_KEYS).map(([name, text]) => [name, input(text)] as const);
      return verdictOfAll(scene, Object.fromEntries(inputs));
    },
  },
];

/** A TID of a minute from now. */
function laterRev(): string {
  return encodeTid((Date.now() + 60_000) * 1000, 3);
}
