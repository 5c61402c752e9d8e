/** One check of the relay's, and the test that must fail when it is taken out. */
export type Guard = {
  readonly name: string;
  /** File that holds the check. */
  readonly file: string;
  /** Exact text; stands once in the file. */
  readonly find: string;
  /** What stands there instead: the same code without the check. */
  readonly replace: string;
  /** Test file, and the start of the title of the test in it that fails then. */
  readonly test: string;
  readonly title: string;
};

/** The file's text without the check, or a complaint. */
export function withoutCheck(guard: Guard, text: string): { text: string } | { problem: string } {
  const first = text.indexOf(guard.find);
  if (first < 0) return { problem: `${guard.name}: ${guard.file} does not have the text to find` };
  if (text.indexOf(guard.find, first + 1) >= 0) {
    return { problem: `${guard.name}: ${guard.file} has the text to find more than once` };
  }
  const end = first + guard.find.length;
  return { text: text.slice(0, first) + guard.replace + text.slice(end) };
}
