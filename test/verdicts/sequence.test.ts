import { runCases } from './run-cases.ts';
import { SEQUENCE } from './sequence.cases.ts';

await runCases('sequence', SEQUENCE);
