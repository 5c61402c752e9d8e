/** Order and chain of an account's commits, and `#sync` (spec sheet §5.7, first part). */
import { type CommitParts, encodeTid, SignedRepo } from '../../scripts/fleet/signed-repo.ts';
import type { VerdictCase } from './case.ts';
import {
  committed,
  create,
  draft,
  forged,
  type Made,
  message,
  newPath,
  newRecord,
  oneDraft,
  syncMessage,
  syncWith,
} from './drafts.ts';
import { forgeSync } from './forge-sync.ts';
import { ADMIN, post, sync, until } from './http.ts';
import type { Hostile, Scene, SceneAccount } from './scene.ts';

const MINUTE_MS = 60_000;
const BREAKS = 8;
const BREAKS_MAX = 3;
const DISCONTINUOUS = 'relay_verify_discontinuous_commits_total';

/** The verdict, and how many commits it counted that do not chain on what was known. */
async function counted(scene: Scene, hostile: Hostile): Promise<string> {
  const before = await scene.observe();
  const verdict = await scene.verdictOf(hostile);
  const count = (await scene.observe()).since(before, DISCONTINUOUS);
  return count === 0 ? verdict : `${verdict} counted ${count}`;
}

/** Commits that nobody is told of. */
function skip({ repo }: SceneAccount): void {
  repo.commit([create(newPath())], { epochMs: Date.now() });
}

/** A commit of one record, made at that time. */
function commitAt(repo: SignedRepo, epochMs: number): CommitParts {
  return repo.commit([create(newPath())], { epochMs });
}

function next({ repo }: SceneAccount): Made {
  return message(committed(repo, [create(newPath())]).parts);
}

/** What the relay says of the account's newest commit, against what it was sent. */
async function latestOf(scene: Scene, account: SceneAccount): Promise<string> {
  // Rows are written behind the log.
  const found = await until(async () => {
    const { body } = await sync(scene.relay, 'getLatestCommit', `?did=${account.did}`);
    return body['rev'] === account.repo.rev ? 'state set' : undefined;
  });
  return found ?? 'state as before';
}

export const CHAIN: readonly VerdictCase[] = [
  {
    id: 'H123',
    input: 'the last commit once more, byte for byte but for `seq`',
    specVerdict: 'DROP(old-rev)',
    expected: 'DROP commit_rev_stale',
    rules: 'CH-1',
    run: async (scene) => {
      const account = scene.account();
      const { parts } = committed(account.repo, [create(newPath())]);
      scene.goodFrame(account, message(parts));
      return scene.verdictOf(message(parts));
    },
  },
  {
    id: 'H124',
    input: 'a commit with a lower `rev`, rightly signed',
    specVerdict: 'DROP(old-rev)',
    expected: 'DROP commit_rev_stale',
    rules: 'CH-1',
    run: async (scene) => {
      const account = scene.account({ isAnnounced: false });
      const first = commitAt(account.repo, Date.now() - 2 * MINUTE_MS);
      scene.goodFrame(account, message(first));
      const late = commitAt(account.repo.fork(), Date.now() - MINUTE_MS);
      scene.good(account);
      return scene.verdictOf(message(late));
    },
  },
  {
    id: 'H125',
    input: 'another commit with the `rev` of the last one',
    specVerdict: 'DROP(old-rev)',
    expected: 'DROP commit_rev_equivocated',
    rules: 'CH-1',
    run: async (scene) => {
      const account = scene.account();
      const twin = draft(account.repo, [create(newPath())]);
      scene.good(account);
      const { rev } = account.repo;
      return scene.verdictOf(forged(twin, { fields: { rev }, outer: { rev } }));
    },
  },
  {
    id: 'H126',
    input: '`rev` ten minutes ahead of our clock; two minutes ahead',
    specVerdict: 'DROP(future-rev), PASS',
    expected: 'DROP commit_rev_future, PASS',
    rules: 'CH-2',
    run: async (scene) => {
      const ahead = (minutes: number): Made => {
        const { repo } = scene.account();
        return message(commitAt(repo, Date.now() + minutes * MINUTE_MS));
      };
      return scene.verdictOf([ahead(10), ahead(2)]);
    },
  },
  {
    id: 'H127',
    input: '`rev` of the year 1970 in a first commit, and higher than the one before',
    specVerdict: 'PASS',
    expected: 'PASS, PASS',
    rules: 'CM-7',
    run: async (scene) => {
      const { repo } = scene.account({ isAnnounced: false });
      return scene.verdictOf([1000, 2000].map((epochMs) => message(commitAt(repo, epochMs))));
    },
  },
  {
    id: 'H128',
    input: '`prevData` is not what we know, all else right; then a commit on top of it',
    specVerdict: 'PASS, state updated, counted',
    expected: 'PASS counted 1, PASS, state set',
    rules: 'CH-3, CH-4',
    run: async (scene) => {
      const account = scene.account();
      skip(account);
      const first = await counted(scene, next(account));
      const second = await counted(scene, next(account));
      return `${first}, ${second}, ${await latestOf(scene, account)}`;
    },
  },
  {
    id: 'H129',
    input: '`since` is not the `rev` that we know, `prevData` right',
    specVerdict: 'PASS, counted',
    expected: 'PASS counted 1, state set',
    rules: 'CH-3, CH-4',
    run: async (scene) => {
      const account = scene.account();
      const { parts } = committed(account.repo, [create(newPath())]);
      const since = encodeTid((Date.now() - MINUTE_MS) * 1000, 7);
      const verdict = await counted(scene, message({ ...parts, since }));
      return `${verdict}, ${await latestOf(scene, account)}`;
    },
  },
  {
    id: 'H130',
    input: `${BREAKS} commits of one host of which none chains, with a limit of ${BREAKS_MAX} an hour`,
    specVerdict: 'PASS until the limit, then the host is throttled',
    expected: 'PASS, the host is throttled',
    rules: 'CH-4',
    run: async (scene) => {
      const { hostname } = scene.host;
      const limits = { discontinuousPerHour: BREAKS_MAX };
      await post(scene.relay, '/admin/pds/changeLimits', { host: hostname, limits }, ADMIN);
      const account = scene.account();
      const before = await scene.observe();
      for (let i = 0; i < BREAKS; i++) {
        skip(account);
        scene.good(account);
      }
      // They pass, also those beyond the limit.
      await scene.settled();
      const reached = 'relay_hosts_limits_reached_total:discontinuousPerHour';
      const isCounted = (await scene.observe()).since(before, DISCONTINUOUS) === BREAKS;
      const status = await until(async () => {
        const isReached = (await scene.observe()).since(before, reached) > 0;
        const answer = await sync(scene.relay, 'getHostStatus', `?hostname=${hostname}`);
        return isReached && answer.body['status'] === 'throttled' ? 'throttled' : undefined;
      });
      const verdict = await scene.verdictOf(next(scene.account()));
      return `${isCounted ? verdict : 'not counted'}, the host is ${status ?? 'as before'}`;
    },
  },
  {
    id: 'H131',
    input: 'first commit of an account that we do not know, with `prevData`',
    specVerdict: 'PASS after self-check',
    expected: 'PASS',
    rules: 'CH-5',
    run: async (scene) => {
      const { repo } = scene.account({ isAnnounced: false });
      repo.fill(
        [
          [newPath(), newRecord()],
          [newPath(), newRecord()],
        ],
        Date.now() - MINUTE_MS,
      );
      return scene.verdictOf(message(committed(repo, [create(newPath())]).parts));
    },
  },
  {
    id: 'H132',
    input:
      '`since` null, no `prevData`, the operations lead back to the empty tree: an account ' +
      'that we do not know; one that begins anew',
    specVerdict: 'PASS',
    expected: 'PASS, PASS counted 1',
    rules: 'CH-5',
    run: async (scene) => {
      const fresh = scene.account({ isAnnounced: false });
      const known = scene.account();
      const anew = new SignedRepo({ did: known.did, seed: 'anew' });
      anew.keypair = known.repo.keypair;
      const first = await counted(scene, next(fresh));
      const again = await counted(scene, message(committed(anew, [create(newPath())]).parts));
      return `${first}, ${again}`;
    },
  },
  {
    id: 'H133',
    input: 'a commit without `prevData` on a repo that we know',
    specVerdict: 'DROP(no-prevdata)',
    expected: 'DROP commit_prev_data_missing',
    rules: 'CH-5',
    run: async (scene) => {
      return scene.verdictOf((stamp) => {
        const { prevData: _, ...parts } = oneDraft(scene.subject.repo).parts;
        return message(parts)(stamp);
      });
    },
  },
  {
    id: 'H134',
    input:
      '`#sync` with a newer `rev` and other data; a commit that chains on it; one that ' +
      'chains on what was before',
    specVerdict: 'PASS, state set; the next commit must chain on it',
    expected: 'PASS, PASS, PASS counted 1',
    rules: 'SY-2, CH-3',
    run: async (scene) => {
      const account = scene.account();
      const before = account.repo.fork();
      skip(account);
      const sync = await counted(scene, syncMessage(account.repo.sync()));
      const chained = await counted(scene, next(account));
      const { parts } = committed(before, [create(newPath())]);
      return `${sync}, ${chained}, ${await counted(scene, message(parts))}`;
    },
  },
  {
    id: 'H135',
    input: '`#sync` with the `rev` and the commit that we know',
    specVerdict: 'PASS',
    expected: 'PASS',
    rules: 'SY-2, SY-3',
    run: async (scene) => {
      const account = scene.account();
      return counted(scene, syncMessage(account.repo.sync()));
    },
  },
  {
    id: 'H136',
    input: '`#sync` with a lower `rev`: the repo rolled back',
    specVerdict: 'DROP(old-rev)',
    expected: 'DROP commit_rev_stale',
    rules: 'CH-1, SY-2',
    run: async (scene) => {
      const account = scene.account();
      const old = account.repo.sync();
      scene.good(account);
      return scene.verdictOf(syncMessage(old));
    },
  },
  {
    id: 'H137',
    input:
      '`#sync` signed by another key; its commit for another DID; with another `rev`; ' +
      'without the commit block',
    specVerdict: 'DROP',
    expected:
      'DROP commit_signature_bad, DROP commit_did_mismatch, DROP commit_rev_mismatch, ' +
      'DROP commit_root_missing',
    rules: 'SY-1, CM-5, CA-2',
    run: async (scene) => {
      const { repo } = scene.subject;
      const stranger = new SignedRepo({ did: repo.did, seed: 'a stranger' }).keypair;
      const otherDid = scene.neighbour.did;
      const otherRev = encodeTid((Date.now() + MINUTE_MS) * 1000, 7);
      return scene.verdictOf(
        [
          () => forgeSync(repo, { keypair: stranger }),
          () => forgeSync(repo, { fields: { did: otherDid } }),
          () => forgeSync(repo, { fields: { rev: otherRev } }),
          () => forgeSync(repo, { isWithoutBlock: true }),
        ].map(
          (make): Made =>
            (stamp) =>
              syncWith(make(), {})(stamp),
        ),
      );
    },
  },
];
