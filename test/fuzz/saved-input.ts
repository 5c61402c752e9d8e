/** An input as a text that can be kept in a file and judged again. */
import type { KnownRepo } from '../../lib/verify/order.ts';
import type { FuzzInput } from './input.ts';

type Saved = {
  readonly seed: number;
  readonly index: number;
  readonly what: string;
  readonly changes: readonly string[];
  readonly curve: 'k256' | 'p256';
  /** Hexadecimal. */
  readonly keyBytes: string;
  readonly multibase: string;
  readonly isStrict: boolean;
  /** CIDs as hexadecimal. */
  readonly known: KnownRepo | null;
  /** Base64. */
  readonly frame: string;
};

function hex(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('hex');
}

function latin1(hexText: string): string {
  return Buffer.from(hexText, 'hex').toString('latin1');
}

export function savedInput(seed: number, index: number, what: string, input: FuzzInput): string {
  const { key, known, frame, changes, isStrict } = input;
  const saved: Saved = {
    seed,
    index,
    what,
    changes,
    curve: key.curve,
    keyBytes: key.bytes.toString('hex'),
    multibase: key.multibase,
    isStrict,
    known: known && {
      rev: known.rev,
      dataCid: hex(known.dataCid),
      commitCid: hex(known.commitCid),
    },
    frame: frame.toString('base64'),
  };
  return `${JSON.stringify(saved, null, 2)}\n`;
}

export function inputOf(text: string): FuzzInput {
  const saved: Saved = JSON.parse(text);
  const { curve, multibase, known, changes, isStrict } = saved;
  return {
    frame: Buffer.from(saved.frame, 'base64'),
    key: { curve, bytes: Buffer.from(saved.keyBytes, 'hex'), multibase },
    known: known && {
      rev: known.rev,
      dataCid: latin1(known.dataCid),
      commitCid: latin1(known.commitCid),
    },
    isStrict,
    changes,
  };
}
