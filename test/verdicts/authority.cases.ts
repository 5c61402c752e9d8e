/** Who may speak for an account, and what its identity is worth (spec sheet §5.7, second part). */

import { decodeEvent, EventView } from '../../lib/wire/event.ts';
import { KIND_IDENTITY } from '../../lib/wire/kinds.ts';
import { accountFrame, identityFrame } from '../../scripts/fleet/event-frames.ts';
import type { FleetHost } from '../../scripts/fleet/fleet-host.ts';
import { documentOf, keyEntry, pdsEntry } from '../identity/documents.ts';
import type { VerdictCase } from './case.ts';
import { committed, create, draft, type Made, message, newPath, syncMessage } from './drafts.ts';
import { saidBy } from './events.ts';
import { ADMIN, post, sync, until } from './http.ts';
import type { Hostile, Scene, SceneAccount } from './scene.ts';
import { WebDid } from './web-dids.ts';

/** Names that answer with addresses inside, see authority.test.ts. */
export const INSIDE_NAMES = {
  'loopback.inside-host.net': { a: ['127.0.0.1'] },
  'metadata.inside-host.net': { a: ['169.254.169.254'] },
} as const;

function first(account: SceneAccount): Made {
  return message(committed(account.repo, [create(newPath())]).parts);
}

function attempt(account: SceneAccount): Made {
  return (stamp) => message(draft(account.repo, [create(newPath())]).parts)(stamp);
}

/** A good frame of an account, sent by a host of its choice. */
async function passed(scene: Scene, account: SceneAccount, host: FleetHost, make: Made) {
  scene.goodFrame({ ...account, host }, make);
  await scene.settled();
  return 'PASS';
}

/** The document of an account with other fields. */
function publish(scene: Scene, { did, repo, host }: SceneAccount, fields: object): void {
  const verificationMethod = [keyEntry(did, repo.keypair.multibase)];
  const service = [pdsEntry(host.origin)];
  scene.directory.setDocument(did, documentOf(did, { verificationMethod, service, ...fields }));
}

/** First commits of accounts with such documents. */
function withDocuments(scene: Scene, documents: readonly ((of: SceneAccount) => object)[]) {
  return documents.map((fieldsOf) => {
    const account = scene.account({ isAnnounced: false });
    publish(scene, account, fieldsOf(account));
    return first(account);
  });
}

/** The verdict, and how often the directory was asked meanwhile. */
async function lookedUp(scene: Scene, hostile: Hostile, witnesses: readonly SceneAccount[]) {
  for (const account of witnesses) scene.good(account);
  await scene.settled();
  const before = scene.directory.requestCount;
  const verdict = await scene.verdictOf(hostile, { witnesses });
  return `${verdict}, ${scene.directory.requestCount - before} look-up`;
}

/** Where getRepo leads: the account's host in the form in which we compare it. */
async function homeOf(scene: Scene, did: string, wanted: string): Promise<string> {
  const found = await until(async () => {
    const { headers } = await sync(scene.relay, 'getRepo', `?did=${did}`);
    return String(headers['location']).startsWith(`${wanted}/xrpc/`) ? wanted : undefined;
  });
  return found ?? 'nowhere';
}

type LookUpOutcome = 'blocked' | 'timeout' | 'answer_bad';

/**
 * Sends all at once, and waits until each is dropped for want of an identity and look-ups have
 * ended in these ways.
 */
async function unresolved(
  scene: Scene,
  hostile: readonly Hostile[],
  outcomes: readonly LookUpOutcome[],
): Promise<string[]> {
  const before = await scene.observe();
  for (const one of hostile) scene.raw(one);
  const now = await until(async () => {
    scene.good(scene.neighbour);
    const seen = await scene.observe();
    const isEnded = outcomes.every((outcome) => {
      return seen.since(before, `relay_identity_resolves_total:${outcome}`) > 0;
    });
    const count = seen.since(before, 'relay_reject_events_total:identity_unresolved');
    return isEnded && count >= hostile.length ? seen : undefined;
  });
  await scene.settled();
  if (now === undefined) return ['not dropped'];
  const others = now.rejectsSince(before).filter((code) => code !== 'identity_unresolved');
  return [`${hostile.length} times DROP identity_unresolved`, ...others, ...outcomes];
}

/** The handles of the #identity events among these frames. */
function handlesOf(frames: readonly Buffer[]): string[] {
  const view = new EventView();
  const events = frames.filter((bytes) => decodeEvent(bytes, KIND_IDENTITY, view) === undefined);
  return events.map((bytes) => (bytes.includes('handle') ? 'with handle' : 'without handle'));
}

/** Digits that a did:plc does not have. */
function lettersOf(digit: string): string {
  return { 0: 'b', 1: 'c', 8: 'd', 9: 'e' }[digit] ?? '';
}

/** Sends all at once; the reasons for which they were dropped, once all are. */
async function dropsOf(scene: Scene, hostile: readonly Hostile[]): Promise<string> {
  const before = await scene.observe();
  for (const one of hostile) scene.raw(one);
  const now = await until(async () => {
    const seen = await scene.observe();
    const count = seen.since(before, 'relay_reject_events_total');
    return count >= hostile.length ? seen : undefined;
  });
  for (const account of [scene.subject, scene.neighbour]) scene.good(account);
  await scene.settled();
  return (now?.rejectsSince(before) ?? []).map((code) => `DROP ${code}`).join(', ');
}

/** More than a host may have looked up at once, see accounts.test.ts. */
const STRANGERS = 300;
const FLOOD_COUNT = 60;

export const AUTHORITY: readonly VerdictCase[] = [
  {
    id: 'H138',
    input: 'a commit for an account whose PDS is another host, rightly signed',
    specVerdict: 'DROP(wrong-host) after one look-up',
    expected: 'DROP host_not_authority, 1 look-up',
    rules: 'HO-1, HO-4',
    run: async (scene) => {
      const other = scene.account({ host: await scene.newHost() });
      return lookedUp(scene, attempt(other), [scene.subject, other]);
    },
  },
  {
    id: 'H139',
    input: '`#account` deleted for an account of another host',
    specVerdict: 'DROP(wrong-host), the account stays active',
    expected: 'DROP host_not_authority, active',
    rules: 'AC-9',
    run: async (scene) => {
      const other = scene.account({ host: await scene.newHost() });
      const { did } = other;
      const verdict = await scene.verdictOf(
        (stamp) => accountFrame({ did, active: false, status: 'deleted' }, stamp),
        { witnesses: [scene.subject, other] },
      );
      // A row is written behind the log, so it may not be there yet.
      const active = await until(async () => {
        const { body } = await sync(scene.relay, 'getRepoStatus', `?did=${did}`);
        return body['active'];
      });
      return `${verdict}, ${active === true ? 'active' : 'inactive'}`;
    },
  },
  {
    id: 'H140',
    input:
      'an account moves: the new host sends `#account`, `#identity`, `#sync` before anything ' +
      'else told us; then the old host sends `#account` deactivated and a commit',
    specVerdict: 'PASS all three, then DROP(wrong-host)',
    expected: 'PASS, PASS, PASS, DROP host_not_authority, DROP host_not_authority',
    rules: 'HO-4, HO-5, AC-9',
    run: async (scene) => {
      const account = scene.account();
      await scene.settled();
      const { did, handle } = account;
      const host = await scene.newHost();
      scene.directory.set(did, account.repo.keypair, host.origin, handle);
      const moved = [
        await passed(scene, account, host, (stamp) => accountFrame({ did, active: true }, stamp)),
        await passed(scene, account, host, (stamp) => identityFrame({ did, handle }, stamp)),
        await passed(scene, account, host, syncMessage(account.repo.sync())),
      ];
      const late: readonly Hostile[] = [
        (stamp) => accountFrame({ did, active: false, status: 'deactivated' }, stamp),
        attempt(account),
      ];
      const witnesses = [scene.subject, { ...account, host }];
      return [...moved, await scene.verdictOf(late, { witnesses })].join(', ');
    },
  },
  {
    id: 'H141',
    input:
      'two hosts send commits of one account at once, those of the undeclared one with ' +
      'higher revs',
    specVerdict: 'DROP(wrong-host) of the undeclared one, the declared one passes',
    expected: 'DROP host_not_authority, DROP host_not_authority, DROP host_not_authority',
    rules: 'HO-1, CH-1',
    run: async (scene) => {
      const other = scene.account({ host: await scene.newHost() });
      const ahead: Made = (stamp) => {
        const copy = other.repo.fork();
        const parts = copy.commit([create(newPath())], { epochMs: Date.now() + 60_000 });
        return message(parts)(stamp);
      };
      return scene.verdictOf([ahead, ahead, ahead], { witnesses: [scene.subject, other] });
    },
  },
  {
    id: 'H142',
    input: 'the document names no PDS; one of another `type`; `ftp:`; with a path; with userinfo',
    specVerdict: 'DROP(no-pds)',
    expected: Array(5).fill('DROP identity_pds_missing').join(', '),
    rules: 'HO-2, HO-3',
    run: async (scene) => {
      const { hostname, origin } = scene.host;
      const hostile = withDocuments(scene, [
        () => ({ service: [] }),
        () => ({ service: [pdsEntry(origin, { type: 'SomeOtherServer' })] }),
        () => ({ service: [pdsEntry(`ftp://${hostname}`)] }),
        () => ({ service: [pdsEntry(`${origin}/pds`)] }),
        () => ({ service: [pdsEntry(`http://user@${hostname}`)] }),
      ]);
      return scene.verdictOf(hostile);
    },
  },
  {
    id: 'H143',
    input:
      'the endpoint in upper case; with a dot behind the name; with `:443` (where getRepo ' +
      'leads shows the host that we compare)',
    specVerdict: 'PASS: the same host',
    expected: 'PASS, PASS, PASS, https://pds.other-host.net',
    rules: 'HO-2',
    run: async (scene) => {
      const { hostname } = scene.host;
      const port = hostname.slice('localhost:'.length);
      const spelled = withDocuments(scene, [
        () => ({ service: [pdsEntry(`HTTP://LOCALHOST:${port}`)] }),
        () => ({ service: [pdsEntry(`http://localhost.:${port}`)] }),
        () => ({ service: [pdsEntry(`http://localhost:${port}/`)] }),
      ]);
      const verdict = await scene.verdictOf(spelled);
      const account = scene.account();
      await scene.settled();
      publish(scene, account, { service: [pdsEntry('https://PDS.other-host.net.:443')] });
      scene.goodFrame(account, (stamp) => identityFrame({ did: account.did }, stamp));
      await scene.settled();
      return `${verdict}, ${await homeOf(scene, account.did, 'https://pds.other-host.net')}`;
    },
  },
  {
    id: 'H144',
    input: 'the document is that of another DID',
    specVerdict: 'DROP: unresolvable',
    expected: 'DROP identity_document_bad',
    rules: 'DD-6',
    run: async (scene) => {
      return scene.verdictOf(withDocuments(scene, [() => ({ id: scene.subject.did })]));
    },
  },
  {
    id: 'H145',
    input: 'two `#atproto` keys, the first one broken',
    specVerdict: 'PASS: the second one is used',
    expected: 'PASS',
    rules: 'SG-5',
    run: async (scene) => {
      const broken = ({ did, repo }: SceneAccount): object => {
        const { multibase } = repo.keypair;
        const verificationMethod = [keyEntry(did, 'z0OIl'), keyEntry(did, multibase)];
        return { verificationMethod };
      };
      return scene.verdictOf(withDocuments(scene, [broken]));
    },
  },
  {
    id: 'H146',
    input: 'the key has a foreign `controller`; the same with a second entry that is right',
    specVerdict: 'DROP: the entry is ignored; PASS with the second',
    expected: 'DROP identity_key_missing, PASS',
    rules: 'SG-5, HO-3',
    run: async (scene) => {
      const foreign = ({ did, repo }: SceneAccount): object => {
        return keyEntry(did, repo.keypair.multibase, { controller: scene.subject.did });
      };
      const hostile = withDocuments(scene, [
        (account) => ({ verificationMethod: [foreign(account)] }),
        (account) => {
          const own = keyEntry(account.did, account.repo.keypair.multibase);
          return { verificationMethod: [foreign(account), own] };
        },
      ]);
      return scene.verdictOf(hostile);
    },
  },
  {
    id: 'H147',
    input:
      'the directory says 410: `#identity` of an account that we know, then a commit of it; ' +
      'a commit of an account that we do not know',
    specVerdict: 'the account is deleted, DROP',
    expected:
      'PASS and our #account inactive deleted, DROP identity_tombstoned; deleted; ' +
      'DROP identity_tombstoned',
    rules: 'AC-8, DD-7, HO-3',
    run: async (scene) => {
      const [known, unknown] = [scene.account(), scene.account({ isAnnounced: false })];
      await scene.settled();
      scene.directory.tombstone(known.did);
      scene.directory.tombstone(unknown.did);
      const verdict = await scene.verdictOf([
        (stamp) => identityFrame({ did: known.did }, stamp),
        attempt(known),
      ]);
      const ours = `PASS and our #account ${saidBy(scene.emitted).join()}`;
      const status = await until(async () => {
        const { body } = await sync(scene.relay, 'getRepoStatus', `?did=${known.did}`);
        return body['active'] === false ? String(body['status']) : undefined;
      });
      const first = verdict.replace(/^PASS changed and PASS(?=,)/, ours);
      return `${first}; ${status}; ${await scene.verdictOf(attempt(unknown))}`;
    },
  },
  {
    id: 'H148',
    input:
      'the directory and a did:web host take the question and do not answer; then the ' +
      'directory answers',
    specVerdict: 'DROP(unverified) after park and retry, never pass',
    expected: '2 times DROP identity_unresolved, timeout, then PASS',
    rules: 'HO-3, DD-7, DD-8',
    run: async (scene) => {
      scene.good(scene.neighbour);
      await scene.settled();
      const web = await WebDid.start('silent');
      const known = scene.account({ isAnnounced: false });
      const webAccount = scene.account({ did: web.did, isAnnounced: false });
      scene.directory.fault = 'hang';
      const got = await unresolved(scene, [attempt(known), attempt(webAccount)], ['timeout']);
      // Parked, and asked for again: this one is sent while nobody answers.
      const parked = scene.account();
      const asked = scene.directory.requestCount;
      await until(async () => (scene.directory.requestCount > asked ? true : undefined));
      scene.directory.fault = 'none';
      await scene.settled();
      scene.good(parked);
      await scene.settled();
      await web.stop();
      return [...got, 'then PASS'].join(', ');
    },
  },
  {
    id: 'H149',
    input:
      'did:web on a name with the address 127.0.0.1; 169.254.169.254; a host that leads ' +
      'there; a document of 100 MB; one that comes byte by byte',
    specVerdict: 'DROP: refused, limits of size and time',
    expected:
      '5 times DROP identity_unresolved, blocked, timeout, answer_bad, nobody else asked, ' +
      'little taken, none open',
    rules: 'DD-8',
    run: async (scene) => {
      const inside = await WebDid.start('silent');
      const webs = {
        redirect: await WebDid.start('redirect', `http://127.0.0.1:${inside.port}/did.json`),
        huge: await WebDid.start('huge'),
        drip: await WebDid.start('drip'),
      };
      const names = Object.keys(INSIDE_NAMES).map((name) => `did:web:${name}`);
      const dids = [...names, ...Object.values(webs).map((web) => web.did)];
      const hostile = dids.map((did) => attempt(scene.account({ did, isAnnounced: false })));
      const got = await unresolved(scene, hostile, ['blocked', 'timeout', 'answer_bad']);
      const { huge, drip } = webs;
      const isClosed = await until(async () => {
        return huge.openCount + drip.openCount === 0 ? true : undefined;
      });
      const asked = Object.values(webs).filter((web) => web.requestCount > 0).length;
      // What sockets and kernels on both sides hold, and what we read of it, for each request.
      const bytesMax = huge.requestCount * 16 * 1024 * 1024;
      got.push(asked === 3 && inside.requestCount === 0 ? 'nobody else asked' : 'led away');
      got.push(huge.sentBytes < bytesMax ? 'little taken' : `${huge.sentBytes} bytes taken`);
      got.push(isClosed === true ? 'none open' : 'left open');
      await Promise.all([inside, ...Object.values(webs)].map((web) => web.stop()));
      return got.join(', ');
    },
  },
  {
    id: 'H150',
    input:
      'a host that has all the accounts it may have speaks for 20 new ones; a host speaks ' +
      `for ${STRANGERS} DIDs that nobody knows`,
    specVerdict: 'DROP beyond the account limit, look-ups limited per host',
    expected:
      'DROP account_host_throttled, nobody asked; DROP identity_not_found, ' +
      'DROP identity_host_limited beyond its look-ups',
    rules: 'LM-11',
    run: async (scene) => {
      const { hostname } = scene.host;
      await scene.settled();
      // Accounts are counted by their rows, which are written behind the log.
      await until(async () => {
        const { status } = await sync(scene.relay, 'getRepoStatus', `?did=${scene.subject.did}`);
        return status === 200 ? true : undefined;
      });
      const change = { host: hostname, repo_limit: 1, limits: { eventsPerSecond: 5000 } };
      await post(scene.relay, '/admin/pds/changeLimits', change, ADMIN);
      const fresh = Array.from({ length: 20 }, () => first(scene.account({ isAnnounced: false })));
      const asked = scene.directory.requestCount;
      const throttled = await dropsOf(scene, fresh);
      const isAsked = scene.directory.requestCount > asked;
      const free = { host: hostname, repo_limit: 100_000 };
      await post(scene.relay, '/admin/pds/changeLimits', free, ADMIN);
      const strangers = Array.from({ length: STRANGERS }, (_, index): Made => {
        const did = `did:plc:${String(index)
          .padStart(24, 'a')
          .replace(/[0189]/g, lettersOf)}`;
        return (stamp) => identityFrame({ did }, stamp);
      });
      const limited = await dropsOf(scene, strangers);
      return `${throttled}, ${isAsked ? 'somebody' : 'nobody'} asked; ${limited} beyond its look-ups`;
    },
  },
  {
    id: 'H151',
    input: '`#identity` of another host for an account, with a handle of its choice',
    specVerdict: 'PASS* without the handle, one look-up',
    expected: 'PASS changed, 1 look-up, without handle',
    rules: 'ID-2, ID-4',
    run: async (scene) => {
      const other = scene.account({ host: await scene.newHost() });
      const { did } = other;
      const verdict = await lookedUp(
        scene,
        (stamp) => identityFrame({ did, handle: 'chosen.example.com' }, stamp),
        [scene.subject, other],
      );
      return [verdict, ...handlesOf(scene.emitted)].join(', ');
    },
  },
  {
    id: 'H152',
    input: `${FLOOD_COUNT} \`#identity\` of one account at once`,
    specVerdict: 'PASS some, the rest rate-limited',
    expected: 'PASS some, DROP identity_rate_limited the rest, few look-ups',
    rules: 'ID-2, LM-11',
    run: async (scene) => {
      const { did, handle } = scene.account();
      await scene.settled();
      const { strangers } = scene.world.ledger;
      const [before, passedBefore] = [await scene.observe(), strangers.length];
      const askedBefore = scene.directory.requestCount;
      for (let i = 0; i < FLOOD_COUNT; i++) {
        scene.raw((stamp) => identityFrame({ did, handle }, stamp));
      }
      const counts = await until(async () => {
        const limited = (await scene.observe()).since(
          before,
          'relay_reject_events_total:identity_rate_limited',
        );
        const passed = strangers.length - passedBefore;
        return passed + limited === FLOOD_COUNT ? { passed, limited } : undefined;
      });
      for (const account of [scene.subject, scene.neighbour]) scene.good(account);
      await scene.settled();
      const { passed = 0, limited = 0 } = counts ?? {};
      const asked = scene.directory.requestCount - askedBefore;
      // Some pass as a burst, and one more for every ten seconds that this takes.
      if (passed < 10 || passed > FLOOD_COUNT / 2) return `PASS ${passed}, DROP ${limited}`;
      return `PASS some, DROP identity_rate_limited the rest, ${asked <= 3 ? 'few' : asked} look-ups`;
    },
  },
];
