/** Status of accounts, the hosts' and our own (spec sheet §5.7, third part). */
import { KIND_COMMIT, KIND_SYNC } from '../../lib/wire/kinds.ts';
import { type AccountParts, accountFrame } from '../../scripts/fleet/event-frames.ts';
import { type Received, RecordingConsumer } from '../helpers/recording-consumer.ts';
import type { VerdictCase } from './case.ts';
import { committed, create, draft, type Made, message, newPath } from './drafts.ts';
import { saidBy } from './events.ts';
import { decide, until } from './http.ts';
import type { SceneAccount } from './scene.ts';

/** `#account` as its host says it. */
function says({ did }: SceneAccount, parts: Omit<AccountParts, 'did'>): Made {
  return (stamp) => accountFrame({ did, ...parts }, stamp);
}

/** The account's next commit, which it makes when its turn comes. */
function next({ repo }: SceneAccount): Made {
  return (stamp) => message(committed(repo, [create(newPath())]).parts)(stamp);
}

/** The same without being made: it will be dropped. */
function vain({ repo }: SceneAccount): Made {
  return (stamp) => message(draft(repo, [create(newPath())]).parts)(stamp);
}

function listOf(received: readonly Received[]): string {
  return received.map(({ seq }) => seq).join();
}

export const STATUS: readonly VerdictCase[] = [
  {
    id: 'H153',
    input: '`#account` inactive, takendown; then a commit',
    specVerdict: 'PASS, then DROP(inactive)',
    expected: 'PASS, DROP account_inactive',
    rules: 'AC-5',
    run: async (scene) => {
      const account = scene.account();
      const isDown = { active: false, status: 'takendown' };
      return scene.verdictOf([says(account, isDown), vain(account)]);
    },
  },
  {
    id: 'H154',
    input: '`#account` deactivated, a commit, `#account` active, a commit',
    specVerdict: 'PASS, DROP, PASS, PASS',
    expected: 'PASS, DROP account_inactive, PASS, PASS',
    rules: 'AC-5, AC-10',
    run: async (scene) => {
      const account = scene.account();
      const off = { active: false, status: 'deactivated' };
      return scene.verdictOf([
        says(account, off),
        vain(account),
        says(account, { active: true }),
        next(account),
      ]);
    },
  },
  {
    id: 'H155',
    input:
      'the `#account` that switched an account on never came; its host, when asked, says ' +
      'that it is active; does not know it',
    specVerdict: 'PASS, as the host is asked',
    expected: 'PASS, PASS and our #account active before it; PASS, DROP account_inactive',
    rules: 'AC-12',
    run: async (scene) => {
      const off = { active: false, status: 'deactivated' };
      const [missed, unknown] = [scene.account(), scene.account()];
      scene.host.repoStatus.set(missed.did, { did: missed.did, active: true, rev: '' });
      const verdict = await scene.verdictOf([says(missed, off), next(missed)]);
      const [said = '', ours = ''] = saidBy(scene.emitted);
      const isOurs = said === 'inactive deactivated' && verdict === 'PASS, PASS changed and PASS';
      const first = isOurs ? `PASS, PASS and our #account ${ours} before it` : verdict;
      return `${first}; ${await scene.verdictOf([says(unknown, off), vain(unknown)])}`;
    },
  },
  {
    id: 'H156',
    input:
      '`#account` inactive without a status; with the unknown status `frozen`; active with ' +
      'the status `takendown`; a commit after each',
    specVerdict: 'PASS without status, PASS as is, PASS: active wins',
    expected:
      'PASS, DROP account_inactive, PASS, DROP account_inactive, PASS, PASS: inactive, ' +
      'inactive frozen, active takendown',
    rules: 'AC-2, AC-13',
    run: async (scene) => {
      const [silent, frozen, odd] = [scene.account(), scene.account(), scene.account()];
      const verdict = await scene.verdictOf([
        says(silent, { active: false }),
        vain(silent),
        says(frozen, { active: false, status: 'frozen' }),
        vain(frozen),
        says(odd, { active: true, status: 'takendown' }),
        next(odd),
      ]);
      return `${verdict}: ${saidBy(scene.emitted).join(', ')}`;
    },
  },
  {
    id: 'H157',
    input: 'an account that is taken down here: `#account` active of its host, then a commit',
    specVerdict: 'PASS* as active=false takendown, then DROP(takedown)',
    expected: 'PASS changed: inactive takendown, DROP account_takendown; lifted: active',
    rules: 'AC-3, AC-4, AC-6',
    run: async (scene) => {
      const account = scene.account();
      await scene.settled();
      await decide(scene, 'takeDown', account);
      const verdict = await scene.verdictOf([says(account, { active: true }), vain(account)]);
      const said = saidBy(scene.emitted).join();
      const { strangers } = scene.world.ledger;
      const before = strangers.length;
      await decide(scene, 'reverseTakedown', account);
      await until(async () => (strangers.length > before ? true : undefined));
      const lifted = saidBy(strangers.slice(before).map(({ bytes }) => bytes)).join();
      scene.good(account);
      await scene.settled();
      return `${verdict.replace('PASS changed', `PASS changed: ${said}`)}; lifted: ${lifted}`;
    },
  },
  {
    id: 'H158',
    input:
      'an account is taken down here; consumers replay from the start and from before its ' +
      'last commits',
    specVerdict: 'its commits are filtered',
    expected: 'its commits are filtered, all else is there',
    rules: 'AC-5',
    run: async (scene) => {
      const account = scene.account();
      const all = [account, scene.subject, scene.neighbour];
      for (let i = 0; i < 12; i++) scene.good(all[i % 3] ?? account);
      await scene.settled();
      await decide(scene, 'takeDown', account);
      scene.good(scene.subject);
      await scene.settled();
      const { received } = scene.world.consumer;
      const verdicts = [0, received.at(-6)?.seq ?? 0].map(async (cursor) => {
        const wanted = received.filter(({ seq, did, kind }) => {
          const isContent = kind === KIND_COMMIT || kind === KIND_SYNC;
          return seq > cursor && !(did === account.did && isContent);
        });
        const late = new RecordingConsumer(() => scene.relay.streamUrl, cursor);
        await until(async () => (late.lastSeq >= scene.world.consumer.lastSeq ? true : undefined));
        late.stop();
        const isRight = listOf(late.received) === listOf(wanted);
        return isRight ? 'its commits are filtered, all else is there' : listOf(late.received);
      });
      const [first = '', second = ''] = await Promise.all(verdicts);
      await decide(scene, 'reverseTakedown', account);
      return first === second ? first : `${first}; ${second}`;
    },
  },
];
