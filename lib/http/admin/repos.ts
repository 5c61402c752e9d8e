/**
 * Admin routes about accounts, with the paths and the JSON of the reference relay: repo/takeDown,
 * repo/reverseTakedown, repo/takedowns. 200 means durable, told to the network, and hidden from
 * every reader.
 * @thread main
 */
import type { Logger } from '../../logging/logger.ts';
import { isDidSyntax } from '../../repo/did.ts';
import { type Answer, invalidRequest, ok, tryLater } from '../answer.ts';
import { repoNotFound } from '../repo-errors.ts';
import type { Route, RouteRequest } from '../route.ts';

/** `pending`: it was begun and will be done, but is not durable yet. */
export type TakedownResult = 'done' | 'unknown' | 'pending' | 'busy';

export interface TakedownAdmin {
  change(did: string, isDown: boolean): Promise<TakedownResult>;
  /** Up to `limit` accounts after `afterId`; their ids are the cursors. */
  page(
    afterId: number,
    limit: number,
  ): Promise<readonly { readonly id: number; readonly did: string }[]>;
}

export type RepoAdminDeps = {
  readonly takedowns: TakedownAdmin;
  readonly logger: Logger;
};

const PAGE = 500;

export function adminRepoRoutes(deps: RepoAdminDeps): readonly Route[] {
  const route = (name: string, isDown: boolean): Route => ({
    method: 'POST',
    path: `/admin/repo/${name}`,
    hasBody: true,
    handle: async (request) => {
      const answer = await change(deps, request, isDown);
      const { address, body } = request;
      const fields = { action: name, actor: 'admin', address, target: body.text('did') };
      deps.logger.info({ ...fields, status: answer.status }, 'admin action');
      return answer;
    },
  });
  return [
    route('takeDown', true),
    route('reverseTakedown', false),
    {
      method: 'GET',
      path: '/admin/repo/takedowns',
      handle: async ({ params }) => {
        const afterId = params.cursor();
        if (params.fault !== undefined) return invalidRequest(params.fault);
        const rows = await deps.takedowns.page(afterId, PAGE);
        const dids = rows.map(({ did }) => did);
        const last = rows.at(-1);
        const isWhole = rows.length < PAGE || last === undefined;
        return ok(isWhole ? { dids } : { dids, cursor: String(last.id) });
      },
    },
  ];
}

async function change(
  { takedowns }: RepoAdminDeps,
  { body }: RouteRequest,
  isDown: boolean,
): Promise<Answer> {
  const did = body.text('did') ?? '';
  if (!isDidSyntax(did)) return invalidRequest('did is not a DID');
  switch (await takedowns.change(did, isDown)) {
    case 'done':
      return ok({ success: 'true' });
    case 'unknown':
      return repoNotFound();
    case 'pending':
      return tryLater('it is under way and not durable yet; ask again');
    case 'busy':
      return tryLater('too many decisions are under way');
  }
}
