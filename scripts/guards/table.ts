/** All guards: each check of the relay's whose absence a named test must notice. */
import { CONSUMER_GUARDS } from './consumer-guards.ts';
import type { Guard } from './guard.ts';
import { LOG_GUARDS } from './log-guards.ts';
import { READ_GUARDS } from './read-guards.ts';
import { REPO_GUARDS } from './repo-guards.ts';
import { HOST_GUARDS, VERIFY_GUARDS } from './verify-guards.ts';
import { WIRE_GUARDS } from './wire-guards.ts';

export const GUARDS: readonly Guard[] = [
  ...WIRE_GUARDS,
  ...REPO_GUARDS,
  ...VERIFY_GUARDS,
  ...HOST_GUARDS,
  ...LOG_GUARDS,
  ...READ_GUARDS,
  ...CONSUMER_GUARDS,
];
