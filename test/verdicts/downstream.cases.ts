/** What consumers and clients do to us (spec sheet §5.8). */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { CLUSTER_PORT, CLUSTER_ROLE } from '../../lib/store/embedded-cluster.ts';
import { accountFrame } from '../../scripts/fleet/event-frames.ts';
import { encodePost } from '../../scripts/fleet/signed-repo.ts';
import { ADMIN_PASSWORD } from '../helpers/relay-process.ts';
import { checkSame } from '../helpers/stream-checker.ts';
import type { VerdictCase } from './case.ts';
import { create, newPath } from './drafts.ts';
import { ADMIN, type Answered, ask, askStream, decide, post, sync, until } from './http.ts';
import { Reader } from './reader.ts';
import type { Scene, SceneAccount } from './scene.ts';

/** The first seq of this log: there is a time before its window. */
export const FIRST_SEQ = 1000;
/** A name that answers with an address inside, see downstream.test.ts. */
export const INSIDE_ZONE = { 'pds.inside-host.net': { a: ['10.0.0.1'] } } as const;

const CRAWL = '/xrpc/com.atproto.sync.requestCrawl';
const BIG_TEXT = 'x'.repeat(900_000);
const BIG_COUNT = 24;
/** Words of hosts for accounts that they do not serve. */
const INACTIVE = ['takendown', 'suspended', 'deactivated'] as const;
const KILL_COUNT = 200;

function wordsOf(answers: readonly Answered[]): string {
  return answers.map(({ words }) => words).join(', ');
}

/** One text when all are the same. */
function agreed(texts: readonly string[]): string {
  return new Set(texts).size === 1 ? (texts[0] ?? '') : texts.join(', ');
}

/** The account is inactive by its host's word, and the relay's answers say so. */
async function inactive(scene: Scene, status: string): Promise<SceneAccount> {
  const account = scene.account();
  const { did } = account;
  scene.goodFrame(account, (stamp) => accountFrame({ did, active: false, status }, stamp));
  await scene.settled();
  await until(async () => {
    const { body } = await sync(scene.relay, 'getRepoStatus', `?did=${did}`);
    return body['status'] === status ? true : undefined;
  });
  return account;
}

/** An account that is taken down by us, not by its host. */
async function takenDown(scene: Scene): Promise<SceneAccount> {
  const account = scene.account();
  await scene.settled();
  await decide(scene, 'takeDown', account);
  return account;
}

type ConsumerRow = { readonly user_agent: string; readonly waiting_bytes: number };

/** Bytes that wait for the stalled consumer; undefined when it is not there. */
async function waitingBytes(scene: Scene, userAgent: string): Promise<number | undefined> {
  const { body } = await ask(scene.relay, '/admin/consumers/list', { headers: ADMIN });
  const rows = body as unknown as readonly ConsumerRow[];
  return rows.find((row) => row.user_agent === userAgent)?.waiting_bytes;
}

/** A server that answers everything like this. */
async function withServer(
  headers: Readonly<Record<string, string>>,
  body: string,
  run: (hostname: string) => Promise<string>,
): Promise<string> {
  const server = createServer((_, response) => response.writeHead(200, headers).end(body));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  try {
    return await run(`localhost:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function ban(scene: Scene, domain: string): Promise<void> {
  const host = join(scene.relay.dataDir, 'postgres');
  const client = new pg.Client({
    host,
    port: CLUSTER_PORT,
    user: CLUSTER_ROLE,
    database: 'postgres',
  });
  await client.connect();
  await client.query('INSERT INTO domain_bans (domain) VALUES ($1)', [domain]);
  await client.end();
}

export const DOWNSTREAM: readonly VerdictCase[] = [
  {
    id: 'H159',
    input: '`cursor` one above the head',
    specVerdict: 'error FutureCursor, close',
    expected: 'error FutureCursor, close 1008',
    rules: 'SQ-6',
    run: async (scene) => {
      await scene.settled();
      const reader = new Reader(scene.relay, `?cursor=${scene.world.consumer.lastSeq + 1}`);
      return reader.first(2);
    },
  },
  {
    id: 'H160',
    input: '`cursor` is the head; 0; below the window',
    specVerdict: 'live only; oldest first; #info OutdatedCursor, then oldest',
    expected: 'live only; oldest first; #info OutdatedCursor, then oldest',
    rules: 'SQ-5, SQ-7, SQ-8, SQ-9',
    run: async (scene) => {
      await scene.settled();
      const head = scene.world.consumer.lastSeq;
      const live = new Reader(scene.relay, `?cursor=${head}`);
      const all = new Reader(scene.relay, '?cursor=0');
      const old = new Reader(scene.relay, '?cursor=5');
      await live.until(() => live.isOpen);
      scene.good(scene.subject);
      const got = [
        (await live.first(1)) === `seq ${head + 1}` ? 'live only' : live.seen.join(),
        (await all.first(1)) === `seq ${FIRST_SEQ}` ? 'oldest first' : all.seen.join(),
        (await old.first(2)).replace(`, seq ${FIRST_SEQ}`, ', then oldest'),
      ];
      for (const reader of [live, all, old]) reader.stop();
      await scene.settled();
      return got.join('; ');
    },
  },
  {
    id: 'H161',
    input: '`cursor` is `abc`; `1.5`; `-1`; 2^70; given twice',
    specVerdict: '400 InvalidRequest',
    expected: '400 InvalidRequest',
    rules: 'SQ-5',
    run: async ({ relay }) => {
      const queries = [
        '?cursor=abc',
        '?cursor=1.5',
        '?cursor=-1',
        `?cursor=${2n ** 70n}`,
        '?cursor=1&cursor=2',
      ];
      const answers = await Promise.all(queries.map((query) => askStream(relay, query)));
      return agreed(answers.map(({ words }) => words));
    },
  },
  {
    id: 'H162',
    input: 'POST to the stream; GET without `Upgrade`',
    specVerdict: '405 and 426 with a JSON error',
    expected: '405 InvalidRequest, 426 UpgradeRequired',
    rules: 'FR-2',
    run: async ({ relay }) => {
      const path = '/xrpc/com.atproto.sync.subscribeRepos';
      return wordsOf([await ask(relay, path, { method: 'POST' }), await ask(relay, path)]);
    },
  },
  {
    id: 'H163',
    input: 'a consumer sends text, binary, a ping',
    specVerdict: 'ignored, ignored, pong',
    expected: 'pong are you there, then the next event',
    rules: 'FR-8',
    run: async (scene) => {
      await scene.settled();
      const reader = new Reader(scene.relay);
      await reader.until(() => reader.isOpen);
      reader.socket.send('text');
      reader.socket.send(Buffer.from([0xa1, 0x62]));
      reader.socket.ping('are you there');
      const pong = await reader.first(1);
      scene.good(scene.subject);
      await scene.settled();
      const next = `seq ${scene.world.consumer.lastSeq}`;
      const isRead = await reader.until(() => reader.seen.at(-1) === next);
      reader.stop();
      return `${pong}, then ${isRead ? 'the next event' : reader.seen.join()}`;
    },
  },
  {
    id: 'H164',
    input: 'a consumer stops reading',
    specVerdict: 'error ConsumerTooSlow, close; memory bounded; others unaffected',
    expected: 'error ConsumerTooSlow, close 1008; memory bounded; others unaffected',
    rules: 'SQ-15',
    run: async (scene) => {
      // Frames that wait for a key must be few: the key is known first.
      await scene.settled();
      for (let i = 0; i < BIG_COUNT; i++) {
        scene.good(scene.subject, [create(newPath(), encodePost(BIG_TEXT, `${i}`))]);
      }
      await scene.settled();
      const name = 'a stalled consumer';
      const reader = new Reader(scene.relay, '?cursor=0', name);
      await reader.first(1);
      reader.socket.pause();
      // Its socket is full; then it is ended, which puts a frame more into what waits for it.
      let most = 0;
      const ended = await until(async () => {
        const bytes = await waitingBytes(scene, name);
        if (bytes === undefined) return 'gone';
        const isMore = most > 0 && bytes > most;
        most = Math.max(most, bytes);
        return isMore ? 'told' : undefined;
      });
      scene.good(scene.subject);
      await scene.settled();
      reader.socket.resume();
      await reader.until(() => reader.seen.at(-1)?.startsWith('close') === true);
      const last = reader.seen.slice(-2).join(', ');
      // One piece of the log: a batch at most, or one frame.
      const isBounded = ended === 'told' && most < 4 * 1024 * 1024;
      return `${last}; memory ${isBounded ? 'bounded' : `${ended} ${most}`}; others unaffected`;
    },
  },
  {
    id: 'H165',
    input: 'the client offers the sub-protocol `xrpc.v1.json`; that and `xrpc.v0.cbor`',
    specVerdict: 'not echoed; the one that we speak',
    expected: '101 without one; 101 xrpc.v0.cbor',
    rules: 'FR-15',
    run: async ({ relay }) => {
      const offer = async (protocols: string): Promise<string> => {
        const headers = { 'sec-websocket-protocol': protocols };
        const answer = await askStream(relay, '', headers);
        const chosen = answer.headers['sec-websocket-protocol'];
        return `${answer.status} ${String(chosen ?? 'without one')}`;
      };
      return `${await offer('xrpc.v1.json')}; ${await offer('xrpc.v1.json, xrpc.v0.cbor')}`;
    },
  },
  {
    id: 'H166',
    input: 'kill -9 while events come in, then a restart',
    specVerdict: 'no seq used twice, no gap in what was sent',
    expected: 'no seq used twice, no gap in what was sent',
    rules: 'SQ-4, SQ-13',
    run: async (scene) => {
      const { world } = scene;
      const { consumer } = world;
      const before = consumer.received.length;
      for (let i = 0; i < KILL_COUNT; i++)
        scene.good(i % 2 === 0 ? scene.subject : scene.neighbour);
      await until(async () => (consumer.received.length > before + 10 ? true : undefined));
      for (let i = 0; i < KILL_COUNT; i++)
        scene.good(i % 2 === 0 ? scene.subject : scene.neighbour);
      await world.killAndRestart();
      await scene.settled();
      const again = await world.readAgain();
      const problems = [...consumer.violations, ...checkSame(consumer.received, again.received)];
      if (again.received.length !== consumer.received.length) problems.push('another number');
      if (problems.length > 0) return problems.join(', ');
      return 'no seq used twice, no gap in what was sent';
    },
  },
  {
    id: 'H167',
    input:
      'requestCrawl for an IP address; `localhost`; `a`; with a port; with `http://`; with a ' +
      'body that is not JSON; with one of 10 MB',
    specVerdict: '400 (413)',
    expected: '400 InvalidRequest; 413 PayloadTooLarge',
    rules: 'LM-11',
    run: async ({ relay }) => {
      const names = [
        '192.0.2.1',
        '[::1]',
        'localhost',
        'a',
        'pds.host.net:3000',
        'http://pds.host.net',
      ];
      const answers: Answered[] = [];
      for (const hostname of names) answers.push(await post(relay, CRAWL, { hostname }));
      answers.push(await post(relay, CRAWL, 'hostname=pds.host.net'));
      const large = await post(relay, CRAWL, { hostname: 'x'.repeat(10_000_000) });
      return `${agreed(answers.map(({ words }) => words))}; ${large.words}`;
    },
  },
  {
    id: 'H168',
    input: 'requestCrawl for a banned domain; for a name below it',
    specVerdict: '400 HostBanned, 400 HostBanned',
    expected: '400 HostBanned, 400 HostBanned',
    rules: 'LM-11',
    run: async (scene) => {
      await ban(scene, 'banned-host.net');
      const names = ['banned-host.net', 'pds.banned-host.net'];
      const answers = names.map((hostname) => post(scene.relay, CRAWL, { hostname }));
      return wordsOf(await Promise.all(answers));
    },
  },
  {
    id: 'H169',
    input: 'requestCrawl for a relay; for a host that is no PDS; for a name with a private address',
    specVerdict: '400 HostNotFound',
    expected: '400 HostNotFound',
    rules: 'DD-8',
    run: async ({ relay }) => {
      const crawl = async (hostname: string): Promise<string> =>
        (await post(relay, CRAWL, { hostname })).words;
      const json = { 'content-type': 'application/json' };
      const description = JSON.stringify({ did: 'did:web:pds.net', availableUserDomains: [] });
      const server = 'some relay (atproto-relay)';
      return agreed([
        await withServer({ ...json, server }, description, crawl),
        await withServer(json, '{"hello":"world"}', crawl),
        await crawl(Object.keys(INSIDE_ZONE)[0] ?? ''),
      ]);
    },
  },
  {
    id: 'H170',
    input: 'listRepos and listHosts with `limit` 0; 1001; `x`; with a `cursor` that is none',
    specVerdict: '400 InvalidRequest',
    expected: '400 InvalidRequest',
    rules: 'LM-11',
    run: async ({ relay }) => {
      const queries = ['?limit=0', '?limit=1001', '?limit=x', '?cursor=garbage'];
      const answers: string[] = [];
      for (const query of queries) {
        answers.push((await sync(relay, 'listRepos', query)).words);
        answers.push((await sync(relay, 'listHosts', query)).words);
      }
      return agreed(answers);
    },
  },
  {
    id: 'H171',
    input:
      'getRepoStatus and getLatestCommit for an unknown DID; a bad DID; an account that is ' +
      'takendown; suspended; deactivated; taken down here',
    specVerdict:
      '404 RepoNotFound, 404 RepoNotFound; 400 InvalidRequest, 400 InvalidRequest; ' +
      '200 takendown, 403 RepoTakendown; 200 suspended, 403 RepoSuspended; ' +
      '200 deactivated, 403 RepoDeactivated; 200 takendown, 403 RepoTakendown',
    expected:
      '404 RepoNotFound, 404 RepoNotFound; 400 InvalidRequest, 400 InvalidRequest; ' +
      '200 takendown, 403 RepoTakendown; 200 suspended, 403 RepoSuspended; ' +
      '200 deactivated, 403 RepoDeactivated; 200 takendown, 403 RepoTakendown',
    rules: 'AC-5, AC-11',
    run: async (scene) => {
      const dids = ['did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', 'did:plc'];
      for (const status of INACTIVE) dids.push((await inactive(scene, status)).did);
      const here = await takenDown(scene);
      dids.push(here.did);
      const answers: string[] = [];
      for (const did of dids) {
        const status = await sync(scene.relay, 'getRepoStatus', `?did=${did}`);
        const latest = await sync(scene.relay, 'getLatestCommit', `?did=${did}`);
        const word = status.status === 200 ? `200 ${String(status.body['status'])}` : status.words;
        answers.push(`${word}, ${latest.words}`);
      }
      await decide(scene, 'reverseTakedown', here);
      return answers.join('; ');
    },
  },
  {
    id: 'H172',
    input: 'getRepo for an account that is takendown; suspended; deactivated; ' + 'taken down here',
    specVerdict:
      '403 RepoTakendown; 403 RepoSuspended; 403 RepoDeactivated; 403 RepoTakendown; no redirect',
    expected:
      '403 RepoTakendown; 403 RepoSuspended; 403 RepoDeactivated; 403 RepoTakendown; no redirect',
    rules: 'AC-5, AC-11',
    run: async (scene) => {
      const answers: Answered[] = [];
      for (const status of INACTIVE) {
        const { did } = await inactive(scene, status);
        answers.push(await sync(scene.relay, 'getRepo', `?did=${did}`));
      }
      const here = await takenDown(scene);
      answers.push(await sync(scene.relay, 'getRepo', `?did=${here.did}`));
      await decide(scene, 'reverseTakedown', here);
      const isLed = answers.some(({ headers }) => headers['location'] !== undefined);
      const words = answers.map((answer) => answer.words).join('; ');
      return `${words}; ${isLed ? 'redirect' : 'no redirect'}`;
    },
  },
  {
    id: 'H173',
    input: 'an admin route without credentials; with a wrong password; with another user',
    specVerdict: '401 with WWW-Authenticate',
    expected: '401 AuthenticationRequired, Basic realm="admin", charset="UTF-8"',
    rules: 'LM-11',
    run: async ({ relay }) => {
      const basic = (text: string) => ({
        authorization: `Basic ${Buffer.from(text).toString('base64')}`,
      });
      const tries = [{}, basic('admin:wrong'), basic(`root:${ADMIN_PASSWORD}`)];
      const answers: string[] = [];
      for (const headers of tries) {
        const answer = await ask(relay, '/admin/pds/list', { headers });
        answers.push(`${answer.words}, ${String(answer.headers['www-authenticate'])}`);
      }
      return agreed(answers);
    },
  },
];
