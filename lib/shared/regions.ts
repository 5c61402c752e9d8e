/**
 * All control words in shared memory: who writes each, and where it is. Rings, tail ring, commit
 * cell and counter pages are regions of their own.
 *
 *   every word stands alone on 128 bytes
 *
 *   word                  writer      meaning
 *   beatMain              main        duty cycles so far
 *   beatPersist           persist     duty cycles so far
 *   stop                  main        0 run, 1 drain and end
 *   phase                 main        see Phase
 *   persistState          persist     see PersistState
 *   pauseCause            persist     why it is paused: 0 it is not, else see append-fault.ts
 *   databaseState         main        0 unknown, 1 up, 2 down
 *   ballast               main        see BallastState
 *   logHold               main        1: the room left on the disk is not for the log
 *   wakeTail              main        tail position from which on main is to be woken by commits
 *   bellMain, bellPersist any         see bell.ts
 *   checkpointSeq (wide)  main        highest seq whose account state is in PostgreSQL
 *   oldestSeq (wide)      persist     first seq still retained
 *   assigned, written,
 *   durable (wide)        persist     invariant I0: assigned ≥ written ≥ durable ≥ published
 *   published (wide)      main        last seq handed to a consumer's socket
 *   per shard s:
 *   beatVerify[s]         verify s    duty cycles so far
 *   taken[s]              verify s    last ingestNo that was answered or held
 *   completed[s]          verify s    last ingestNo up to which all is rejected, or durable and
 *                                     its account row written
 *   processing[s]         verify s    ingestNo in hand, or 0, to find the frame that ended a thread
 *   deathNo, deaths[s]    verify s    that frame, and ends in a row on it (by the successor)
 *   generation[s]         main        which run of the task owns the shard
 *   ready[s]              verify s    generation that has rebuilt its shard and reads the ring
 *   bellVerify[s]         any         see bell.ts
 * @thread any
 */
import { assert } from '../base/assert.ts';
import { Bell } from './bell.ts';
import { SHARDS_MAX } from './commit-cell.ts';
import { allocateShared, type SharedMemory } from './memory.ts';
import {
  PositionReader,
  PositionWriter,
  WideReader,
  WideWriter,
  WORD_STRIDE_BYTES,
} from './position.ts';

/** What main is doing; a long phase keeps `/_healthz` patient, readiness needs `running`. */
export const Phase = {
  starting: 0,
  logRecovery: 1,
  waitingForDatabase: 2,
  stateRecovery: 3,
  running: 4,
  draining: 5,
} as const;

export const PersistState = {
  recovering: 0,
  running: 1,
  /** The disk takes no bytes (full, quota, read-only): retried, nothing is lost (G16). */
  paused: 2,
  stopped: 3,
  /** A failed sync: nothing will be published any more, the process ends (G15). */
  poisoned: 4,
  /** A newer version has written the log: refused, the process ends (G27). */
  newer: 5,
} as const;

/** The file that can be given back when the disk is full (G16). */
export const BallastState = {
  none: 0,
  building: 1,
  whole: 2,
  /** Given back, and not restored yet. */
  given: 3,
} as const;

export const DatabaseState = { unknown: 0, up: 1, down: 2 } as const;

const MAIN_WORDS = [
  'beatMain',
  'beatPersist',
  'stop',
  'phase',
  'persistState',
  'pauseCause',
  'databaseState',
  'ballast',
  'logHold',
  'wakeTail',
  'bellMain',
  'bellPersist',
  'checkpointSeq',
  'oldestSeq',
  'assigned',
  'written',
  'durable',
  'published',
] as const;
const SHARD_WORDS = [
  'beatVerify',
  'completed',
  'taken',
  'processing',
  'deathNo',
  'deaths',
  'generation',
  'ready',
  'bellVerify',
] as const;

export type MainWord = (typeof MAIN_WORDS)[number];
export type ShardWord = (typeof SHARD_WORDS)[number];

const WORDS_BYTES = (MAIN_WORDS.length + SHARD_WORDS.length * SHARDS_MAX) * WORD_STRIDE_BYTES;

export function allocateWords(): SharedMemory {
  return allocateShared(WORDS_BYTES);
}

function mainAt(name: MainWord): number {
  return MAIN_WORDS.indexOf(name) * WORD_STRIDE_BYTES;
}

function shardAt(name: ShardWord, shard: number): number {
  assert(shard >= 0 && shard < SHARDS_MAX, 'shard out of range');
  const row = MAIN_WORDS.length + shard * SHARD_WORDS.length + SHARD_WORDS.indexOf(name);
  return row * WORD_STRIDE_BYTES;
}

/** Typed access to the control words. Each word may be written by its one thread only. */
export class Words {
  readonly memory: SharedMemory;

  constructor(memory: SharedMemory) {
    assert(memory.byteLength === WORDS_BYTES, 'control words have another size');
    this.memory = memory;
  }

  writer(name: MainWord): PositionWriter {
    return new PositionWriter(this.memory, mainAt(name));
  }

  reader(name: MainWord): PositionReader {
    return new PositionReader(this.memory, mainAt(name));
  }

  wideWriter(name: MainWord): WideWriter {
    return new WideWriter(this.memory, mainAt(name));
  }

  wideReader(name: MainWord): WideReader {
    return new WideReader(this.memory, mainAt(name));
  }

  bell(name: 'bellMain' | 'bellPersist'): Bell {
    return new Bell(this.memory, mainAt(name));
  }

  shardWriter(name: ShardWord, shard: number): PositionWriter {
    return new PositionWriter(this.memory, shardAt(name, shard));
  }

  shardReader(name: ShardWord, shard: number): PositionReader {
    return new PositionReader(this.memory, shardAt(name, shard));
  }

  shardBell(shard: number): Bell {
    return new Bell(this.memory, shardAt('bellVerify', shard));
  }
}
