/**
 * Runs inputs past our verifier and the judges, and says what came of it. @atcute sees every
 * input, @atproto, which is ten times slower, a sample: every sixteenth, and of those that we
 * pass the first so many of a batch. What is run depends on the seed alone.
 */
import { ATCUTE } from './atcute-library.ts';
import { loadAtproto } from './atproto-library.ts';
import { explain } from './classes.ts';
import { BATCH_INPUTS, type FuzzInput, InputSource } from './input.ts';
import { judge, type Verdict } from './judge.ts';
import type { Library } from './library.ts';
import { cpuMs, ourVerdict, VERDICT_CPU_MS_MAX } from './ours.ts';
import { savedInput } from './saved-input.ts';
import { SignatureMemory } from './signature-memory.ts';
import {
  addFailure,
  changeRow,
  count,
  countJudge,
  emptyTally,
  type Tally,
  verdictRow,
} from './tally.ts';

/** Of so many signatures that are remembered one is judged again. */
const SIGNATURES_ASKED_EVERY = 32;
const SAMPLE_EVERY = 16;
/** Of the inputs of a batch that we pass, so many are judged with @atproto at least. */
const PASSES_SAMPLED = BATCH_INPUTS / 20;
const RIGHT_ONES_EVERY = 64;
/** Instead of a verdict of ours: failed already. */
const THROWS = 'throws';

export class Campaign {
  readonly #seed: number;
  readonly #atproto: Library;
  readonly #verdictOf: typeof ourVerdict;
  readonly #memory = new SignatureMemory(SIGNATURES_ASKED_EVERY);
  readonly #source: InputSource;
  #tally = emptyTally();
  #passesSampled = 0;

  private constructor(seed: number, atproto: Library, verdictOf: typeof ourVerdict) {
    this.#seed = seed;
    this.#atproto = atproto;
    this.#verdictOf = verdictOf;
    this.#source = new InputSource(seed, (...signed) => this.#memory.note(...signed));
  }

  /** `verdictOf` is ours unless a test puts a worse one in its place. */
  static async start(seed: number, verdictOf = ourVerdict): Promise<Campaign> {
    return new Campaign(seed, await loadAtproto(), verdictOf);
  }

  /**
   * Runs the inputs from one number up to another, both of one batch; what came of them. Says
   * which one it is about to judge: who does not come back from one cannot say so afterwards.
   */
  async run(from: number, to: number, onInput?: (index: number) => void): Promise<Tally> {
    this.#tally = emptyTally();
    this.#passesSampled = 0;
    const { askedCount, rememberedCount } = this.#memory;
    for (let index = from; index < to; index++) {
      onInput?.(index);
      await this.#judgeOne(index, this.#source.input(index));
      if (index % RIGHT_ONES_EVERY === 0) this.#judgeRightOne(index);
    }
    this.#tally.signaturesAsked = this.#memory.askedCount - askedCount;
    this.#tally.signaturesRemembered = this.#memory.rememberedCount - rememberedCount;
    return this.#tally;
  }

  /** Judges one input with everything; its lines say who said what. */
  async replay(input: FuzzInput): Promise<{ readonly lines: string[]; readonly isFine: boolean }> {
    this.#tally = emptyTally();
    const ours = this.#verdictOf(input);
    const lines = [`ours: ${ours} (${cpuMs(() => this.#verdictOf(input)).toFixed(2)} ms CPU)`];
    for (const library of [ATCUTE, this.#atproto]) {
      const { isPass, rule, detail } = await this.#ask(library, input);
      lines.push(`${library.name}: ${isPass ? 'pass' : `${rule}: ${detail}`}`);
    }
    await this.#judgeOne(0, input, true);
    for (const name of Object.keys(this.#tally.explained)) lines.push(`explained: ${name}`);
    for (const { what } of this.#tally.failures) lines.push(`NOT EXPLAINED: ${what}`);
    return { lines, isFine: this.#tally.failureCount === 0 };
  }

  async #judgeOne(index: number, input: FuzzInput, isAllAsked = false): Promise<void> {
    const tally = this.#tally;
    const ours = this.#ourVerdict(index, input);
    const isPass = ours === 'pass';
    tally.inputs += 1;
    tally.frameBytes += input.frame.length;
    const row = verdictRow(tally, ours);
    row.inputs += 1;
    for (const name of new Set(input.changes)) {
      const change = changeRow(tally, name);
      change.inputs += 1;
      if (isPass) change.passed += 1;
    }
    if (ours === THROWS) return;
    const libraries = [ATCUTE];
    if (isAllAsked || this.#isSampled(index, isPass)) libraries.push(this.#atproto);
    for (const library of libraries) {
      const theirs = await this.#ask(library, input);
      countJudge(row, library.name, theirs.isPass);
      if (!theirs.isPass) count(tally.rules, theirs.rule);
      if (theirs.isPass !== isPass) await this.#explain(index, input, ours, theirs, library);
    }
  }

  #isSampled(index: number, isPass: boolean): boolean {
    if (index % SAMPLE_EVERY === 0) return true;
    if (!isPass || this.#passesSampled >= PASSES_SAMPLED) return false;
    this.#passesSampled += 1;
    return true;
  }

  #ourVerdict(index: number, input: FuzzInput): string {
    const startMs = performance.now();
    try {
      const verdict = this.#verdictOf(input);
      // Elapsed time is never less than CPU time: only a slow one has to be measured.
      if (performance.now() - startMs > VERDICT_CPU_MS_MAX) this.#measure(index, input);
      return verdict;
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#fail(index, `ours throws ${text}`, input);
      return THROWS;
    }
  }

  #measure(index: number, input: FuzzInput): void {
    const ms = cpuMs(() => this.#verdictOf(input));
    this.#tally.slowestMs = Math.max(this.#tally.slowestMs, ms);
    if (ms > VERDICT_CPU_MS_MAX) this.#fail(index, `ours takes ${ms.toFixed(1)} ms`, input);
  }

  /** A right message in between: nothing of what came before may have been left over. */
  #judgeRightOne(index: number): void {
    const input = this.#source.rightOne(index);
    const ours = this.#ourVerdict(index, input);
    this.#tally.rightOnes += 1;
    if (ours !== 'pass') this.#fail(index, `a right message: ${ours}`, input);
  }

  #ask(library: Library, input: FuzzInput, areRecordsRead = true): Promise<Verdict> {
    return judge(library, input, { verify: this.#memory.verifier(library), areRecordsRead });
  }

  async #explain(
    index: number,
    input: FuzzInput,
    ours: string,
    theirs: Verdict,
    library: Library,
  ): Promise<void> {
    // Whether it is the input or what was left over from the one before.
    const again = this.#ourVerdict(index, input);
    if (again !== ours) {
      this.#fail(index, `ours says ${ours}, then ${again}`, input);
      return;
    }
    const other = library === ATCUTE ? this.#atproto : ATCUTE;
    const explained = await explain({
      input,
      ours,
      theirs,
      library: library.name,
      again: (changed, areRecordsRead) => this.#ask(library, changed, areRecordsRead),
      other: (changed, areRecordsRead) => this.#ask(other, changed, areRecordsRead),
    });
    if (explained !== undefined) {
      count(this.#tally.explained, `${explained.name} (${library.name})`);
      return;
    }
    const said = theirs.isPass ? 'pass' : `${theirs.rule}: ${theirs.detail}`;
    this.#fail(index, `ours: ${ours}, ${library.name}: ${said}`, input);
  }

  #fail(index: number, what: string, input: FuzzInput): void {
    addFailure(this.#tally, {
      index,
      what,
      saved: savedInput(this.#seed, index, what, input),
    });
  }
}
