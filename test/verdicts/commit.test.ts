import { COMMIT } from './commit.cases.ts';
import { runCases } from './run-cases.ts';

await runCases('commit', COMMIT);
