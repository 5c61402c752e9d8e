import { FIELDS } from './fields.cases.ts';
import { runCases } from './run-cases.ts';

await runCases('fields', FIELDS);
