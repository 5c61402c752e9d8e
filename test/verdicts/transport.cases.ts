/** §5.1 of the catalogue: what breaks the stream or the encoding, H1 … H33. */
import type { VerdictCase } from './case.ts';

export const TRANSPORT: readonly VerdictCase[] = [
  {
    id: 'H1',
    input: 'a text message',
    specVerdict: 'CLOSE',
    expected: 'CLOSE frame_not_binary',
    rules: 'FR-4',
    run: (scene) => scene.verdictOf({ bytes: Buffer.from('hello'), form: 'text' }),
  },
  {
    id: 'H2',
    input: 'an empty binary message',
    specVerdict: 'CLOSE',
    expected: 'STRIKE frame_header_bad',
    rules: 'FR-4',
    deviation: 'ADR 0005',
    run: (scene) => scene.verdictOf(Buffer.alloc(0)),
  },
];
