import { runCases } from './run-cases.ts';
import { TRANSPORT } from './transport.cases.ts';

await runCases('transport', TRANSPORT);
