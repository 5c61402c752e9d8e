/** How a judge says no: by the rule of the specification that is broken, and where. */

/** Only what a library throws, and this, is a refusal; any other error is a fault of the judge. */
export class Refusal extends Error {
  readonly rule: string;
  readonly detail: string;

  constructor(rule: string, detail: string) {
    super(`${rule}: ${detail}`);
    this.rule = rule;
    this.detail = detail;
  }
}

export function refuseUnless(isRight: boolean, rule: string, detail: string): asserts isRight {
  if (!isRight) throw new Refusal(rule, detail);
}

/** What the library gives, or its refusal under the name of a rule. */
export function asked<Result>(rule: string, ask: () => Result): Result {
  try {
    return ask();
  } catch (error) {
    throw refusalOf(rule, error);
  }
}

export async function askedLater<Result>(
  rule: string,
  ask: () => Promise<Result>,
): Promise<Result> {
  try {
    return await ask();
  } catch (error) {
    throw refusalOf(rule, error);
  }
}

function refusalOf(rule: string, error: unknown): Refusal {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new Refusal(rule, text);
}
