/**
 * What tests may put in place of the world. Never read from the environment: no setting of an
 * operator is test-only.
 * @thread any
 */
import type { SharedMemory } from '../shared/memory.ts';

export type Seams = {
  readonly chaos: SharedMemory | null;
  /** A frame with these bytes hangs its verify thread; '' for none. */
  readonly poisonMarker: string;
};

export const NO_SEAMS: Seams = { chaos: null, poisonMarker: '' };
