/** Takedown routes, with the reference relay's paths and JSON (G28, H157, H173). */
import t from 'tap';
import { RelayFault } from '../../lib/base/fault.ts';
import { Api, basic, DID, PASSWORD } from './api.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

function post(api: Api, action: string, body: object, auth = basic(PASSWORD)) {
  const headers = { ...JSON_TYPE, ...auth };
  const init = { method: 'POST', headers, body: JSON.stringify(body) };
  return api.json(`/admin/repo/${action}`, init);
}

t.test('repo/takeDown and repo/reverseTakedown', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  for (const [action, isDown] of [
    ['takeDown', true],
    ['reverseTakedown', false],
  ] as const) {
    t.same(await post(api, action, { did: DID }), { status: 200, body: { success: 'true' } });
    t.same(api.changed.at(-1), { did: DID, isDown });
    t.match(api.logged.at(-1), { action, actor: 'admin', target: DID, status: 200 });
    for (const body of [{}, { did: '' }, { did: 'alice' }, { did: 7 }, { did: `${DID}\n` }]) {
      const { status, body: answer } = await post(api, action, body);
      t.same([status, answer.error], [400, 'InvalidRequest'], JSON.stringify(body));
    }
    t.equal((await post(api, action, { did: DID }, {})).status, 401);
  }
  t.equal(api.changed.length, 2);
});

t.test('what is not done is never 200', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const answers = [];
  for (const result of ['unknown', 'pending', 'busy'] as const) {
    api.takedownResult = result;
    const { status, body } = await post(api, 'takeDown', { did: DID });
    answers.push([status, body.error]);
  }
  t.same(answers, [
    [404, 'RepoNotFound'],
    [503, 'NotEnoughResources'],
    [503, 'NotEnoughResources'],
  ]);
  api.failure = new RelayFault('database_down', 'test', { isRetryable: true });
  t.equal((await post(api, 'takeDown', { did: DID })).status, 503);
});

t.test('repo/takedowns: pages of 500', async (t) => {
  const api = await new Api().start();
  t.teardown(() => api.stop());
  const list = async (query = '') => {
    const target = `/admin/repo/takedowns${query}`;
    return (await api.json(target, { headers: basic(PASSWORD) })) as unknown as {
      status: number;
      body: { dids: string[]; cursor?: string };
    };
  };
  t.same(await list(), { status: 200, body: { dids: [] } });
  for (let n = 1; n <= 501; n++) api.takendown.push({ id: 2 * n, did: `did:web:n${n}.net` });
  const first = await list();
  t.equal(first.body.dids.length, 500);
  t.equal(first.body.cursor, '1000');
  t.same((await list(`?cursor=${first.body.cursor}`)).body, { dids: ['did:web:n501.net'] });
  t.equal((await list('?cursor=x')).status, 400);
});
