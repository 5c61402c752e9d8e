/**
 * Assertions for our own bugs. They stay on in production: a relay that goes on with a broken
 * invariant loses data quietly, one that stops is restarted and recovers.
 * @thread any
 */

/** Thrown for our own bugs only, never for bad input and never for a fault of the world. */
export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(message);
}

export function unreachable(value: never, message = 'unreachable'): never {
  throw new AssertionFailed(`${message}: ${String(value)}`);
}
