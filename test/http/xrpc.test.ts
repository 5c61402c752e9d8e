/** Every XRPC method: parameters, answers, errors (H161, H162, H167-H172). */
import t from 'tap';
import { RelayFault } from '../../lib/base/fault.ts';
import { Api, account, bodyOf, DID, host, repo } from './api.ts';

const SYNC = '/xrpc/com.atproto.sync.';

t.test('H170, S15: limit and cursor are strict', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const bad = [
    'limit=0',
    'limit=1001',
    'limit=x',
    'limit=',
    'limit=-1',
    'limit=1.5',
    'limit=1e2',
    'limit=%201',
    'limit=1&limit=1',
    'limit=99999999999999999999',
    'cursor=x',
    'cursor=-1',
    'cursor=1.0',
    'cursor=',
    'cursor=9007199254740992',
    'cursor=9007199254740993',
    'cursor=1&cursor=2',
    'cursor=%00',
  ];
  const good = ['limit=1', 'limit=1000', 'cursor=0', 'cursor=9007199254740991', 'x=1&x=2', ''];
  for (const method of ['listHosts', 'listRepos']) {
    for (const query of bad) {
      const { status, body } = await api.json(`${SYNC}${method}?${query}`);
      t.equal(status, 400, `${method} ${query}`);
      t.equal(body.error, 'InvalidRequest');
      t.type(body.message, 'string');
    }
    for (const query of good) {
      t.equal((await api.json(`${SYNC}${method}?${query}`)).status, 200, `${method} ${query}`);
    }
  }
});

t.test('listHosts: pages, one at a time too, first seen first', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  for (let id = 1; id <= 5; id++) api.hosts.push(host(id));
  api.hosts.push(host(6, { seq: null }), host(7, { status: 'banned', accountCount: null }));
  const seen: string[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const query: string = cursor === undefined ? '' : `&cursor=${cursor}`;
    const { body } = await api.json(`${SYNC}listHosts?limit=1${query}`);
    for (const row of body.hosts) seen.push(row.hostname);
    cursor = body.cursor;
    pages++;
  } while (cursor !== undefined && pages < 20);
  t.same(
    seen,
    [1, 2, 3, 4, 5, 7].map((id) => `pds${id}.host.net`),
  );
  const { body } = await api.json(`${SYNC}listHosts`);
  t.notOk('cursor' in body);
  t.same(body.hosts[0], { hostname: 'pds1.host.net', seq: 10, accountCount: 1, status: 'active' });
  t.same(body.hosts.at(-1), { hostname: 'pds7.host.net', seq: 70, status: 'banned' });
});

t.test('getHostStatus', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  api.hosts.push(host(1), host(2, { seq: null, status: 'offline', accountCount: null }));
  const status = (query: string) => api.json(`${SYNC}getHostStatus?${query}`);
  t.same(await status('hostname=pds1.host.net'), {
    status: 200,
    body: { hostname: 'pds1.host.net', seq: 10, accountCount: 1, status: 'active' },
  });
  t.equal((await status('hostname=PDS1.Host.NET.')).status, 200, 'any spelling of it');
  t.same((await status('hostname=pds2.host.net')).body, {
    hostname: 'pds2.host.net',
    status: 'offline',
  });
  const unknown = await status('hostname=nobody.host.net');
  t.equal(unknown.status, 404);
  t.equal(unknown.body.error, 'HostNotFound');
  for (const query of [
    '',
    'hostname=',
    'hostname=127.0.0.1',
    'hostname=a%20b',
    'hostname=a.net&hostname=b.net',
  ]) {
    const { status: code, body } = await status(query);
    t.equal(code, 400, query);
    t.equal(body.error, 'InvalidRequest');
  }
});

t.test('listRepos: active ones with a commit; an inactive page is no end', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  for (let id = 1; id <= 12; id++) {
    const isActive = id < 3 || id > 8;
    api.repos.push(repo(id, isActive ? {} : { isActive, status: 'takendown' }));
  }
  api.repos.push(repo(13, { status: 'throttled' }));
  const dids: string[] = [];
  let cursor = '0';
  for (let pages = 0; pages < 20; pages++) {
    const { body } = await api.json(`${SYNC}listRepos?limit=2&cursor=${cursor}`);
    for (const row of body.repos) dids.push(row.did);
    if (body.cursor === undefined) break;
    t.ok(body.repos.length > 0, 'no empty page before the end');
    cursor = body.cursor;
  }
  t.same(
    dids,
    [1, 2, 9, 10, 11, 12, 13].map((id) => repo(id).did),
  );
  const { body } = await api.json(`${SYNC}listRepos?cursor=12`);
  const { did, commitCid: head, rev } = repo(13);
  t.same(body, { repos: [{ did, head, rev, active: true, status: 'throttled' }] });
});

t.test('CH-6, AC-11, AC-13, H171: getRepoStatus and getLatestCommit', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const { rev, commitCid } = account();
  const call = (method: string, did: string) =>
    api.json(`${SYNC}${method}?did=${encodeURIComponent(did)}`);
  for (const method of ['getRepoStatus', 'getLatestCommit', 'getRepo']) {
    const unknown = await call(method, DID);
    t.equal(unknown.status, 404, method);
    t.equal(unknown.body.error, 'RepoNotFound');
    const bad = [
      '',
      'plc:abc',
      'did:PLC:abc',
      'did:plc:abc/x',
      `did:plc:${'a'.repeat(2048)}`,
      'did:plc:é',
    ];
    for (const did of bad) {
      const { status, body } = await call(method, did);
      t.equal(status, 400, `${method} ${did.slice(0, 20)}`);
      t.equal(body.error, 'InvalidRequest');
    }
    t.equal((await api.json(`${SYNC}${method}?did=${DID}&did=${DID}`)).status, 400, 'twice');
    t.equal((await api.json(`${SYNC}${method}`)).status, 400, 'none');
  }
  type Row = readonly [
    change: Parameters<typeof account>[0],
    status: object,
    code: number,
    error: string | undefined,
  ];
  const inactive = (status: string | null) => ({ isActive: false, status });
  const table: readonly Row[] = [
    [{}, { active: true, rev }, 200, undefined],
    [{ status: 'throttled' }, { active: true, status: 'throttled', rev }, 200, undefined],
    [{ rev: null, commitCid: null }, { active: true }, 404, 'RepoNotFound'],
    [inactive('takendown'), { active: false, status: 'takendown' }, 403, 'RepoTakendown'],
    [inactive('suspended'), { active: false, status: 'suspended' }, 403, 'RepoSuspended'],
    [inactive('deactivated'), { active: false, status: 'deactivated' }, 403, 'RepoDeactivated'],
    [inactive('deleted'), { active: false, status: 'deleted' }, 404, 'RepoNotFound'],
    [inactive('constructor'), { active: false, status: 'constructor' }, 403, 'RepoInactive'],
    [inactive(null), { active: false }, 403, 'RepoInactive'],
  ];
  for (const [change, status, code, error] of table) {
    api.accounts[0] = account(change);
    const told = await call('getRepoStatus', DID);
    t.same(told, { status: 200, body: { did: DID, ...status } });
    const latest = await call('getLatestCommit', DID);
    t.equal(latest.status, code);
    if (error === undefined) t.same(latest.body, { cid: commitCid, rev });
    else t.equal(latest.body.error, error);
  }
});

t.test('AC-11, H172, S18: getRepo points to the stored host and nowhere else', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  api.accounts[0] = account();
  const call = (query: string) => api.call(`${SYNC}getRepo?${query}`);
  const plain = await call(`did=${DID}`);
  t.equal(plain.status, 302);
  const path = 'https://pds1.host.net/xrpc/com.atproto.sync.getRepo';
  t.equal(plain.headers.get('location'), `${path}?did=${encodeURIComponent(DID)}`);
  t.equal(await plain.text(), '');
  const since = await call(`did=${DID}&since=3lmxjza3nva2k&evil=%0d%0aX-A:1&host=evil.net`);
  const both = `${path}?did=${encodeURIComponent(DID)}&since=3lmxjza3nva2k`;
  t.equal(since.headers.get('location'), both, 'only what the lexicon has is passed on');
  t.equal((await call(`did=${DID}&since=abc`)).status, 400);
  for (const status of ['takendown', 'suspended', 'deactivated', 'deleted', null]) {
    api.accounts[0] = account({ isActive: false, status });
    const refused = await call(`did=${DID}`);
    t.ok(refused.status >= 400, `${status}: no redirect`);
    t.equal(refused.headers.get('location'), null);
  }
  api.accounts[0] = account({ pdsHost: null });
  t.equal((await call(`did=${DID}`)).status, 404);
});

t.test('H167, H168: requestCrawl and its alias', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  for (const nsid of ['com.atproto.sync.requestCrawl', 'com.atproto.sync.notifyOfUpdate']) {
    const good = await api.post(nsid, '{"hostname":"pds.host.net"}');
    t.equal(good.status, 200);
    t.equal(await good.text(), '', 'no output in the lexicon');
    const asked = api.crawled.pop();
    t.same(asked, {
      hostname: 'pds.host.net',
      caller: { clientKey: '127.0.0.1', isAdmin: false },
    });
    const bodies = [
      '',
      '{}',
      '[]',
      'null',
      '"x"',
      '7',
      '{"hostname":7}',
      '{"hostname":""}',
      '{"hostname":null}',
      '{"hostname":["a.net"]}',
      '{"hostname":"a.net"',
      '{"__proto__":{"hostname":"a.net"}}',
      '{"constructor":{"hostname":"a.net"}}',
      `{"hostname":${'['.repeat(9)}${']'.repeat(9)}}`,
      `{"hostname":"a.net","x":${'{"a":'.repeat(8)}1${'}'.repeat(8)}}`,
    ];
    for (const body of bodies) {
      const answer = await api.post(nsid, body);
      t.equal(answer.status, 400, body.slice(0, 40));
      t.equal((await bodyOf(answer)).error, 'InvalidRequest');
    }
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      '',
      'application/jsonp',
    ]) {
      const answer = await api.post(nsid, '{"hostname":"a.net"}', { 'content-type': type });
      t.equal(answer.status, 400, `content type ${type}`);
    }
    const spaced = { 'content-type': 'Application/JSON ; charset=utf-8' };
    t.equal((await api.post(nsid, '{"hostname":"a.net"}', spaced)).status, 200);
    api.crawled.length = 0;
  }
  t.equal((await api.post('com.atproto.sync.requestCrawl', `"${'x'.repeat(9000)}"`)).status, 413);
  t.same(api.crawled, [], 'nothing of this reached the desk');
  const utf8 = Buffer.from('7b22686f73746e616d65223a22ff227d', 'hex');
  const answer = await api.call(`${SYNC}requestCrawl`, {
    method: 'POST',
    body: utf8,
    headers: { 'content-type': 'application/json' },
  });
  t.equal(answer.status, 400, 'invalid UTF-8');
});

t.test("requestCrawl: the desk's refusals keep name, status and Retry-After", async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const table = [
    ['HostBanned', 400, undefined],
    ['HostNotFound', 400, undefined],
    ['Forbidden', 403, undefined],
    ['RateLimitExceeded', 429, 17],
    ['NotEnoughResources', 503, 5],
  ] as const;
  for (const [name, status, retryAfterSeconds] of table) {
    const refused = { name, status, message: 'because' };
    api.crawlResult = {
      refused: retryAfterSeconds === undefined ? refused : { ...refused, retryAfterSeconds },
    };
    const answer = await api.post('com.atproto.sync.requestCrawl', '{"hostname":"a.net"}');
    t.equal(answer.status, status);
    t.same(await answer.json(), { error: name, message: 'because' });
    t.equal(answer.headers.get('retry-after'), retryAfterSeconds?.toString() ?? null);
  }
});

t.test('FR-16, H162, FR-2: subscribeRepos without an upgrade', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const get = await api.call(`${SYNC}subscribeRepos?cursor=1`);
  t.equal(get.status, 426);
  t.equal((await bodyOf(get)).error, 'UpgradeRequired');
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'HEAD']) {
    const answer = await api.call(`${SYNC}subscribeRepos`, { method });
    t.equal(answer.status, 405, method);
    t.equal(answer.headers.get('allow'), 'GET');
    if (method !== 'HEAD') t.equal((await bodyOf(answer)).error, 'InvalidRequest');
  }
});

t.test('404, 405, 501: which is which', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const table: readonly (readonly [method: string, path: string, status: number, error: string])[] =
    [
      ['GET', `${SYNC}getRecord?did=x`, 501, 'MethodNotImplemented'],
      ['GET', `${SYNC}getBlocks`, 501, 'MethodNotImplemented'],
      ['GET', `${SYNC}getBlob`, 501, 'MethodNotImplemented'],
      ['GET', `${SYNC}listBlobs`, 501, 'MethodNotImplemented'],
      ['GET', `${SYNC}getHead`, 501, 'MethodNotImplemented'],
      ['GET', `${SYNC}getCheckout`, 501, 'MethodNotImplemented'],
      ['GET', `${SYNC}listReposByCollection`, 501, 'MethodNotImplemented'],
      ['GET', '/xrpc/com.example.nothing', 404, 'XRPCNotSupported'],
      ['GET', '/xrpc/', 404, 'XRPCNotSupported'],
      ['POST', '/xrpc/constructor', 404, 'XRPCNotSupported'],
      ['GET', '/nothing', 404, 'NotFound'],
      ['GET', `${SYNC}listHosts/`, 404, 'XRPCNotSupported'],
      ['GET', '/XRPC/com.atproto.sync.listHosts', 404, 'NotFound'],
      ['GET', `/xrpc//com.atproto.sync.listHosts`, 404, 'XRPCNotSupported'],
      ['GET', '/xrpc/../admin/pds/list%2f', 401, 'AuthenticationRequired'],
      ['GET', '/xrpc/com%2eatproto.sync.listHosts', 404, 'XRPCNotSupported'],
      ['POST', `${SYNC}listHosts`, 405, 'InvalidRequest'],
      ['DELETE', `${SYNC}requestCrawl`, 405, 'InvalidRequest'],
      ['GET', `${SYNC}requestCrawl`, 405, 'InvalidRequest'],
      ['POST', '/', 405, 'InvalidRequest'],
    ];
  for (const [method, path, status, error] of table) {
    const answer = await api.json(path, { method });
    t.equal(answer.status, status, `${method} ${path}`);
    t.equal(answer.body.error, error);
  }
  t.equal((await api.call(`${SYNC}listHosts`, { method: 'HEAD' })).status, 200);
});

t.test('a database that does not answer: 503, Retry-After, no details', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const faults = [
    new RelayFault('store_unreachable', 'password for relay@10.0.0.7', { isRetryable: true }),
    new RelayFault('store_error', 'SELECT secret', { isRetryable: false }),
  ];
  for (const fault of faults) {
    api.failure = fault;
    for (const path of [
      'listHosts',
      'listRepos',
      `getRepoStatus?did=${DID}`,
      'getHostStatus?hostname=a.net',
    ]) {
      const answer = await api.call(`${SYNC}${path}`);
      t.equal(answer.status, 503);
      t.ok(Number(answer.headers.get('retry-after')) > 0);
      const text = await answer.text();
      t.equal(JSON.parse(text).error, 'NotEnoughResources');
      t.notMatch(text, /password|SELECT/);
    }
  }
  api.failure = new TypeError('x is not a function at /srv/relay/lib/secret.ts');
  const bug = await api.call(`${SYNC}listHosts`);
  t.equal(bug.status, 500);
  t.same(await bug.json(), { error: 'InternalServerError', message: 'internal server error' });
  t.ok(api.metrics.read('relay_http_requests_total:5xx') > 0);
});

t.test('A7: banner and health', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const banner = await api.call('/');
  t.equal(banner.status, 200);
  t.match(await banner.text(), /AT Protocol relay[\s\S]*1\.2\.3/);
  api.failure = new RelayFault('store_unreachable', 'down', { isRetryable: true });
  for (const path of ['/_health', '/xrpc/_health']) {
    t.same(await api.json(path), { status: 200, body: { status: 'ok', version: '1.2.3' } }, path);
  }
});
