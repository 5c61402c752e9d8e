/**
 * One row of the catalogue of series, and a constructor per shape of row.
 * @thread any
 */
export type MetricThread = 'main' | 'verify' | 'persist' | 'liveness';
type Threads = readonly MetricThread[];
type Label<Value extends string = string> = {
  readonly name: string;
  readonly values: readonly Value[];
};
export type MetricRow = {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** Threads that write it. /metrics adds up what the pages of these threads hold … */
  readonly threads: Threads;
  /** … or shows the least of them that is set. */
  readonly merge?: 'least';
  readonly label?: Label;
  /** Upper bounds of a histogram's buckets; one more for +Inf is added. */
  readonly buckets?: readonly number[];
};

type Plain<Type> = { readonly type: Type; readonly threads: Threads; readonly help: string };
type Labelled<Type, Value extends string> = Plain<Type> & { readonly label: Label<Value> };

export function counter(threads: Threads, help: string): Plain<'counter'> {
  return { type: 'counter', threads, help };
}

export function gauge(threads: Threads, help: string): Plain<'gauge'> {
  return { type: 'gauge', threads, help };
}

export function counterBy<const Value extends string>(
  threads: Threads,
  name: string,
  values: readonly Value[],
  help: string,
): Labelled<'counter', Value> {
  return { type: 'counter', threads, help, label: { name, values } };
}

export function gaugeBy<const Value extends string>(
  threads: Threads,
  name: string,
  values: readonly Value[],
  help: string,
): Labelled<'gauge', Value> {
  return { type: 'gauge', threads, help, label: { name, values } };
}

export function histogram(threads: Threads, buckets: readonly number[], help: string) {
  return { type: 'histogram', threads, help, buckets } as const;
}
