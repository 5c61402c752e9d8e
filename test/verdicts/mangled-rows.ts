/** Rows of which every input is a good commit with one thing done to it. */
import type { Stamp } from '../../scripts/fleet/event-frames.ts';
import { cbor, type Value } from '../wire/frames.ts';
import type { VerdictCase } from './case.ts';
import { draftFrame, madeFrame, under, withEntry } from './mangle.ts';
import type { Scene } from './scene.ts';

/** Makes the subject's next commit wrong. */
export type Mangle = (frame: Buffer, stamp: Stamp, scene: Scene) => Buffer;

/** The third strike of a host would close its connection. */
const STRIKES_PER_SCENE = 2;

/** A row whose inputs are all a good commit made wrong, and which must all come to the same. */
export function mangled(
  row: Omit<VerdictCase, 'run' | 'specVerdict' | 'deviation'>,
  inputs: Readonly<Record<string, Mangle>>,
): VerdictCase {
  return {
    ...row,
    specVerdict: 'CLOSE',
    deviation: 'ADR 0005',
    run: (scene) =>
      scene.each(
        inputs,
        (each, mangle) => each.verdictOf((stamp) => mangle(draftFrame(each, stamp), stamp, each)),
        STRIKES_PER_SCENE,
      ),
  };
}

/** A good commit with one more field, of these bytes. */
export const entry =
  (hex: string): Mangle =>
  (good) =>
    withEntry(good, hex);
/** A good payload under this header. */
export const header =
  (value: Value): Mangle =>
  (good) =>
    under(cbor(value), good);

/** A row whose inputs are a good commit with something more, and which all pass as they are. */
export function passing(
  id: string,
  input: string,
  rules: string,
  inputs: Readonly<Record<string, (good: Buffer) => Buffer>>,
): VerdictCase {
  return {
    id,
    input,
    specVerdict: 'PASS',
    expected: 'PASS',
    rules,
    run: (scene) =>
      scene.each(
        inputs,
        (each, extend) => each.verdictOf((stamp) => extend(madeFrame(each, stamp))),
        Number.POSITIVE_INFINITY,
      ),
  };
}
