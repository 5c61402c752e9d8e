/**
 * One row of docs/VERDICTS.md: a hostile or bad input of the catalogue, what ought to become of
 * it, and how to try that with a real relay. The words are explained on that page.
 */
import type { Scene } from './scene.ts';

export type VerdictCase = {
  /** `H45`. One row per number; a row with several inputs runs them all, and all must agree. */
  readonly id: string;
  /** What is sent, on one line, in our own words. */
  readonly input: string;
  /** The verdict as the catalogue has it: `CLOSE`, `DROP(did-syntax)`. */
  readonly specVerdict: string;
  /** In our words: `PASS`, `DROP did_syntax_bad`, `400 InvalidRequest`. */
  readonly expected: string;
  /** Ids of the rules that say so: `DD-1, LM-6`. */
  readonly rules: string;
  /** `ADR 0005` where our verdict is not the catalogue's. */
  readonly deviation?: string;
  /** Does it, and says what happened in the words of `expected`. */
  readonly run: (scene: Scene) => Promise<string>;
};

export type VerdictRow = Omit<VerdictCase, 'run'> & { readonly got: string };
