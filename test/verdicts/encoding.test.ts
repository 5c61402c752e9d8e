import { ENCODING } from './encoding.cases.ts';
import { runCases } from './run-cases.ts';

await runCases('encoding', ENCODING);
