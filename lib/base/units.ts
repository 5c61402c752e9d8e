/**
 * Branded numbers and byte units. A brand stops a host's sequence number from being used as ours,
 * or a wall-clock time as an interval; arithmetic gives a plain number that must be wrapped again.
 * @thread any
 */
import { assert } from './assert.ts';

declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** Our own sequence number: 1 … 2^53-1, contiguous, never reused (G1). */
export type Seq = Branded<'Seq'>;
/** A host's sequence number, as that host numbers its own stream. */
export type HostSeq = Branded<'HostSeq'>;
/** Milliseconds of wall-clock time since 1970. Only for rev checks, logs and stored times. */
export type EpochMs = Branded<'EpochMs'>;
/** Milliseconds of the monotonic clock. Only differences mean something (G21). */
export type MonoMs = Branded<'MonoMs'>;

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

export const SECOND_MS = 1000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** Largest whole firehose message, in bytes (spec LM-1). */
export const FRAME_BYTES_MAX = 5_000_000;

export function toSeq(value: number): Seq {
  assert(Number.isSafeInteger(value) && value >= 0, 'seq is not a safe integer');
  return value as Seq;
}

export function toEpochMs(value: number): EpochMs {
  assert(Number.isFinite(value), 'time is not a number');
  return value as EpochMs;
}

export function toMonoMs(value: number): MonoMs {
  assert(Number.isFinite(value), 'time is not a number');
  return value as MonoMs;
}

/** `a - b` of two modular 32-bit positions; right while they are less than 2^31 apart. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}
