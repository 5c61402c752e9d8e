import t from 'tap';
import { CATALOG } from '../../lib/metrics/catalog.ts';
import { MetricsView } from '../../lib/metrics/prometheus.ts';
import {
  METRIC_FAMILIES,
  METRIC_SLOT_COUNT,
  MetricWriter,
  metricRow,
} from '../../lib/metrics/slots.ts';
import { REJECT_CODES } from '../../lib/reject/codes.ts';

function view() {
  const threads = ['main', 'verify', 'verify', 'persist'] as const;
  const pages = threads.map((thread) => ({
    thread,
    values: new Float64Array(METRIC_SLOT_COUNT),
  }));
  const writers = pages.map(({ values }) => new MetricWriter(values));
  return { metrics: new MetricsView(pages), writers };
}

/** Samples by `name{labels}`. */
async function scrape(metrics: MetricsView): Promise<Map<string, number>> {
  const { text } = await metrics.render();
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

t.test('every series of the catalogue is there from the start, with zero', async (t) => {
  const samples = await scrape(view().metrics);
  for (const family of METRIC_FAMILIES) {
    const { label, buckets } = metricRow(family);
    const names =
      buckets === undefined
        ? (label?.values.map((value) => `${family}{${label.name}="${value}"}`) ?? [family])
        : [`${family}_count`, `${family}_sum`, `${family}_bucket{le="+Inf"}`];
    for (const name of names) t.equal(samples.get(name), 0, name);
  }
  for (const code of REJECT_CODES) {
    const name = `relay_reject_events_total{reason="${code}",host_class="normal"}`;
    t.equal(samples.get(name), 0, name);
  }
});

t.test('the pages of all threads are added up, also a successor on the same page', async (t) => {
  const { metrics, writers } = view();
  const [main, verify0, verify1, persist] = writers;
  verify0?.add('relay_verify_events_total:commit', 2);
  verify1?.add('relay_verify_events_total:commit', 3);
  main?.addReject('frame_too_large');
  verify1?.addReject('frame_too_large');
  verify1?.addReject('frame_too_large', 'trusted');
  verify0?.set('relay_verify_signature_backend:native', 1);
  verify1?.set('relay_verify_signature_backend:native', 1);
  persist?.observe('relay_log_fsync_seconds', 0.003);
  persist?.observe('relay_log_fsync_seconds', 100);
  const samples = await scrape(metrics);
  t.equal(samples.get('relay_verify_events_total{kind="commit"}'), 5);
  const reject = 'relay_reject_events_total{reason="frame_too_large",host_class=';
  t.equal(samples.get(`${reject}"normal"}`), 2);
  t.equal(samples.get(`${reject}"trusted"}`), 1);
  t.equal(samples.get('relay_verify_signature_backend{backend="native"}'), 2);
  t.equal(samples.get('relay_log_fsync_seconds_bucket{le="0.0025"}'), 0);
  t.equal(samples.get('relay_log_fsync_seconds_bucket{le="0.005"}'), 1);
  t.equal(samples.get('relay_log_fsync_seconds_bucket{le="5"}'), 1, 'buckets are cumulative');
  t.equal(samples.get('relay_log_fsync_seconds_bucket{le="+Inf"}'), 2);
  t.equal(samples.get('relay_log_fsync_seconds_count'), 2);
  t.equal(samples.get('relay_log_fsync_seconds_sum'), 100.003);
});

t.test('C1: a loop on several threads shows the one that is furthest behind', async (t) => {
  const { metrics, writers } = view();
  writers[1]?.set('relay_loop_success_timestamp_seconds:account_flush', 1000);
  writers[2]?.set('relay_loop_success_timestamp_seconds:account_flush', 900);
  const samples = await scrape(metrics);
  t.equal(samples.get('relay_loop_success_timestamp_seconds{loop="account_flush"}'), 900);
});

t.test('the process is described, the rendering thread is not', async (t) => {
  const { metrics } = view();
  const samples = await scrape(metrics);
  t.ok((samples.get('process_resident_memory_bytes') ?? 0) > 1e6);
  t.ok((samples.get('process_open_fds') ?? 0) > 2);
  t.ok((samples.get('process_cpu_seconds_total') ?? 0) > 0);
  t.same(
    [...samples.keys()].filter((name) => name.startsWith('nodejs_')),
    [],
  );
});

t.test('scrapes at the same time are rendered once', async (t) => {
  const { metrics } = view();
  const [first, second] = [metrics.render(), metrics.render()];
  t.equal(first, second);
  await first;
  const third = metrics.render();
  t.not(third, first);
  t.match((await third).contentType, /^text\/plain; version=0\.0\.4/);
  t.ok(Object.keys(CATALOG).length > 50);
});
