import { runCases } from './run-cases.ts';
import { TREE } from './tree.cases.ts';

await runCases('tree', TREE);
