/**
 * From the catalogue to numbers: each series has a fixed slot in a page of 64-bit floats. Every
 * thread has a page of its own and is its only writer, so a count is a plain add (7 ns); whoever
 * serves /metrics reads all pages and adds them up. A page outlives a thread that is replaced.
 *
 * A page, in catalogue order:
 *   counter, gauge   one slot per label value
 *   histogram        one slot per bucket (with +Inf), then the sum; counts are not cumulative
 *   rejects          code-major: [code 0 normal][code 0 trusted][code 1 normal]…
 * @thread any
 */
import { assert } from '../base/assert.ts';
import { REJECT_CODES, type RejectCode, rejectIndex } from '../reject/codes.ts';
import {
  CATALOG,
  type HistogramName,
  HOST_CLASSES,
  type HostClass,
  type MetricFamily,
  type MetricName,
} from './catalog.ts';
import type { MetricRow } from './row.ts';

export const METRIC_FAMILIES = Object.keys(CATALOG) as readonly MetricFamily[];

export function metricRow(family: MetricFamily): MetricRow {
  return CATALOG[family];
}

type Layout = {
  readonly slots: ReadonlyMap<string, number>;
  readonly rejectsStart: number;
  readonly slotCount: number;
};

function layOut(): Layout {
  const slots = new Map<string, number>();
  let next = 0;
  for (const family of METRIC_FAMILIES) {
    const row = metricRow(family);
    if (row.buckets !== undefined) {
      slots.set(family, next);
      next += row.buckets.length + 2;
    } else if (row.label !== undefined) {
      for (const value of row.label.values) slots.set(`${family}:${value}`, next++);
    } else {
      slots.set(family, next++);
    }
  }
  return { slots, rejectsStart: next, slotCount: next + REJECT_CODES.length * HOST_CLASSES.length };
}

const LAYOUT = layOut();

/** Length of a page, in floats. */
export const METRIC_SLOT_COUNT = LAYOUT.slotCount;
/** Size of a page, in bytes. */
export const METRIC_PAGE_BYTES = METRIC_SLOT_COUNT * Float64Array.BYTES_PER_ELEMENT;

/** First slot of a family; its label values or buckets follow in the order of the catalogue. */
export function familySlot(family: MetricFamily): number {
  const value = metricRow(family).label?.values[0];
  const slot = LAYOUT.slots.get(value === undefined ? family : `${family}:${value}`);
  assert(slot !== undefined, `metric ${family} is not in the catalogue`);
  return slot;
}

/** Slot of a counter or gauge, or the first slot of a histogram. */
export function metricSlot(name: MetricName | HistogramName): number {
  const slot = LAYOUT.slots.get(name);
  assert(slot !== undefined, `metric ${name} is not in the catalogue`);
  return slot;
}

export function rejectSlot(code: RejectCode, hostClass: HostClass): number {
  const index = rejectIndex(code);
  assert(index >= 0, 'reject code is not in the table');
  return LAYOUT.rejectsStart + index * HOST_CLASSES.length + (hostClass === 'trusted' ? 1 : 0);
}

/** The one writer of a thread's page. */
export class MetricWriter {
  readonly #page: Float64Array;

  /** `page` has METRIC_SLOT_COUNT floats; without one the writer counts for itself (tests). */
  constructor(page: Float64Array = new Float64Array(METRIC_SLOT_COUNT)) {
    assert(page.length >= METRIC_SLOT_COUNT, 'metric page is too small');
    this.#page = page;
  }

  /** Adds to a counter, or moves a gauge by `by`. */
  add(name: MetricName, by = 1): void {
    this.#addAt(metricSlot(name), by);
  }

  /** Sets a gauge, or a counter that mirrors a total kept elsewhere. */
  set(name: MetricName, value: number): void {
    this.#page[metricSlot(name)] = value;
  }

  addReject(code: RejectCode, hostClass: HostClass = 'normal'): void {
    this.#addAt(rejectSlot(code, hostClass), 1);
  }

  /** One observation of a histogram, in its unit (seconds or bytes). */
  observe(name: HistogramName, value: number): void {
    const start = metricSlot(name);
    const buckets = CATALOG[name].buckets;
    let bucket = 0;
    while (bucket < buckets.length && value > (buckets[bucket] ?? 0)) bucket++;
    this.#addAt(start + bucket, 1);
    this.#addAt(start + buckets.length + 1, value);
  }

  /** Present value in this thread's page, for tests and for the admin interface. */
  read(name: MetricName): number {
    return this.#page[metricSlot(name)] ?? 0;
  }

  readReject(code: RejectCode, hostClass: HostClass = 'normal'): number {
    return this.#page[rejectSlot(code, hostClass)] ?? 0;
  }

  #addAt(slot: number, by: number): void {
    this.#page[slot] = (this.#page[slot] ?? 0) + by;
  }
}
