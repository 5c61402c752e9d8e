/**
 * Why the content of an account is not served: lexicon names (H171), status codes of the reference
 * relay. One place for getLatestCommit and getRepo.
 * @thread main
 */
import { type Answer, xrpcError } from './answer.ts';
import type { AccountView } from './readers.ts';

export function repoNotFound(): Answer {
  return xrpcError(404, 'RepoNotFound', 'repo not found');
}

/** The error for an inactive account; undefined where it is active. */
export function inactiveError(account: AccountView): Answer | undefined {
  if (account.isActive) return undefined;
  switch (account.status) {
    case 'takendown':
      return xrpcError(403, 'RepoTakendown', 'repo has been taken down');
    case 'suspended':
      return xrpcError(403, 'RepoSuspended', 'repo is suspended');
    case 'deleted':
      // The lexicon has no name of its own; for the world there is no such repo any more.
      return repoNotFound();
    case 'deactivated':
      return xrpcError(403, 'RepoDeactivated', 'repo is deactivated');
    default:
      return xrpcError(403, 'RepoInactive', 'repo is not active');
  }
}
