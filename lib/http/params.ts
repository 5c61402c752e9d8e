/**
 * Query parameters, read strictly (S15): a wrong type, a value out of range or a parameter given
 * twice is a fault; parameters that nobody asks for are ignored. Reading goes on after a fault, the
 * caller looks at `fault` once at the end.
 * @thread main
 */
import { isDidSyntax } from '../repo/did.ts';

const DIGITS = /^\d{1,16}$/;

export class Params {
  readonly #values: URLSearchParams;
  #fault: string | undefined;

  /** `query` is the raw text behind the question mark. */
  constructor(query: string) {
    this.#values = new URLSearchParams(query);
  }

  /** What is wrong with the parameters read so far; undefined when nothing is. */
  get fault(): string | undefined {
    return this.#fault;
  }

  text(name: string): string | undefined {
    const values = this.#values.getAll(name);
    if (values.length > 1) this.#blame(`${name} is given more than once`);
    return values[0];
  }

  required(name: string): string {
    const text = this.text(name);
    if (text === undefined || text === '') this.#blame(`${name} is required`);
    return text ?? '';
  }

  did(name: string): string {
    const did = this.required(name);
    if (did !== '' && !isDidSyntax(did)) this.#blame(`${name} is not a DID`);
    return did;
  }

  /** A whole number in [min, max], or `fallback` where it is absent. */
  wholeNumber(name: string, min: number, max: number, fallback: number): number {
    const text = this.text(name);
    if (text === undefined) return fallback;
    const value = DIGITS.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    this.#blame(`${name} must be a whole number in ${min} … ${max}`);
    return fallback;
  }

  /** Our cursors are row numbers; 0 where there is none. */
  cursor(): number {
    return this.wholeNumber('cursor', 0, Number.MAX_SAFE_INTEGER, 0);
  }

  #blame(fault: string): void {
    this.#fault ??= fault;
  }
}
