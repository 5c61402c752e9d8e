/**
 * The one place that looks at the environment of the process.
 * @thread main
 */
import type { Environment } from './load.ts';

export function processEnvironment(): Environment {
  return process.env;
}
