/**
 * The text of /metrics: copies the slots of all threads when asked, so that nothing on a hot path
 * knows prom-client (the only importer is this file). Shows every series of the catalogue from the
 * start, zeros too. Of the process only what is true for all its threads: heap and event loop
 * belong to a thread, and the one that renders is not the one that works.
 * @thread liveness
 */
import { readdirSync, readFileSync } from 'node:fs';
import { Gauge, type Metric, Registry } from 'prom-client';
import { REJECT_CODES } from '../reject/codes.ts';
import { HOST_CLASSES, type MetricFamily, REJECT_FAMILY } from './catalog.ts';
import type { MetricRow, MetricThread } from './row.ts';
import { familySlot, METRIC_FAMILIES, metricRow, rejectSlot } from './slots.ts';

/** The counters of one thread, read by us and written by it. */
export type MetricPage = { readonly thread: MetricThread; readonly values: Float64Array };
export type MetricsText = { readonly contentType: string; readonly text: string };

type Value = { labels: Record<string, string>; value: number; metricName?: string };

export class MetricsView {
  readonly #registry = new Registry();
  readonly #pages: readonly MetricPage[];
  #rendering: Promise<MetricsText> | undefined;

  constructor(pages: readonly MetricPage[]) {
    this.#pages = pages;
    for (const family of METRIC_FAMILIES) {
      const row = metricRow(family);
      this.#register(family, row.type, row.help, () => this.#values(family, row));
    }
    const help = 'Events not emitted, by reason; see docs/REJECTS.md.';
    this.#register(REJECT_FAMILY, 'counter', help, () => this.#rejects());
    registerProcess(this.#registry);
  }

  /** Scrapes that come while one is rendered share it. */
  render(): Promise<MetricsText> {
    this.#rendering ??= this.#render().finally(() => {
      this.#rendering = undefined;
    });
    return this.#rendering;
  }

  async #render(): Promise<MetricsText> {
    const text = await this.#registry.metrics();
    return { contentType: this.#registry.contentType, text };
  }

  /** prom-client asks a metric for nothing but its name and get(). */
  #register(name: string, type: MetricRow['type'], help: string, values: () => Value[]): void {
    const get = async (): Promise<object> => ({ name, type, help, values: values() });
    this.#registry.registerMetric({ name, get } as unknown as Metric);
  }

  #values(family: MetricFamily, row: MetricRow): Value[] {
    const slot = familySlot(family);
    if (row.buckets !== undefined) return this.#histogram(family, row.buckets, slot);
    const { label } = row;
    if (label === undefined) return [{ labels: {}, value: this.#read(row, slot) }];
    return label.values.map((value, index) => ({
      labels: { [label.name]: value },
      value: this.#read(row, slot + index),
    }));
  }

  #histogram(family: string, buckets: readonly number[], slot: number): Value[] {
    let total = 0;
    const values: Value[] = [...buckets, '+Inf'].map((bound, index) => {
      total += this.#sum(slot + index);
      return { metricName: `${family}_bucket`, labels: { le: String(bound) }, value: total };
    });
    const sum = this.#sum(slot + buckets.length + 1);
    return [
      ...values,
      { metricName: `${family}_sum`, labels: {}, value: sum },
      { metricName: `${family}_count`, labels: {}, value: total },
    ];
  }

  #rejects(): Value[] {
    return REJECT_CODES.flatMap((reason) =>
      HOST_CLASSES.map((hostClass) => ({
        labels: { reason, host_class: hostClass },
        value: this.#sum(rejectSlot(reason, hostClass)),
      })),
    );
  }

  #read(row: MetricRow, slot: number): number {
    return row.merge === 'least' ? this.#least(slot) : this.#sum(slot);
  }

  #sum(slot: number): number {
    return this.#pages.reduce((sum, page) => sum + (page.values[slot] ?? 0), 0);
  }

  #least(slot: number): number {
    const set = this.#pages.map((page) => page.values[slot] ?? 0).filter((value) => value > 0);
    return set.length === 0 ? 0 : Math.min(...set);
  }
}

type Process = readonly [name: string, help: string, read: () => number];

const PROCESS: readonly Process[] = [
  [
    'process_cpu_seconds_total',
    'User and system CPU time of all threads.',
    () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  ],
  ['process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss()],
  // readdir itself holds one descriptor.
  ['process_open_fds', 'Open file descriptors.', () => readdirSync('/proc/self/fd').length - 1],
  ['process_max_fds', 'Most file descriptors that may be open.', openFilesMax],
  ['process_uptime_seconds', 'Time since the start.', () => process.uptime()],
];

function registerProcess(registry: Registry): void {
  for (const [name, help, read] of PROCESS) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(valueOrNaN(read));
      },
    });
  }
}

function openFilesMax(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1]);
}

/** /proc is not everywhere; a series that cannot be read must not cost the others. */
function valueOrNaN(read: () => number): number {
  try {
    return read();
  } catch {
    return Number.NaN;
  }
}
