/**
 * A statement is a constant: its text is a template without places to put a value in, so a value
 * can only travel as a parameter (S19). It has a name under which a connection prepares it once.
 * @thread any
 */
import { assert } from '../base/assert.ts';

export type Statement = { readonly name: string; readonly text: string };

/** Longest name PostgreSQL keeps apart. */
const NAME_CHARS_MAX = 63;

/** ``statement(name)`SELECT … WHERE did = $1` ``; `${…}` does not compile. */
export function statement(name: string): (text: TemplateStringsArray) => Statement {
  assert(name.length <= NAME_CHARS_MAX, `statement name ${name} is too long`);
  return (text) => {
    assert(text.length === 1, 'a statement takes its values as parameters');
    return { name, text: text[0] ?? '' };
  };
}
