import { CAR } from './car.cases.ts';
import { runCases } from './run-cases.ts';

await runCases('car', CAR);
