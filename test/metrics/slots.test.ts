import t from 'tap';
import { CATALOG, HOST_CLASSES } from '../../lib/metrics/catalog.ts';
import {
  METRIC_FAMILIES,
  METRIC_PAGE_BYTES,
  METRIC_SLOT_COUNT,
  MetricWriter,
  metricRow,
  metricSlot,
  rejectSlot,
} from '../../lib/metrics/slots.ts';
import { REJECT_CODES } from '../../lib/reject/codes.ts';

t.test('catalogue: names tell station and unit, help is there, labels are closed', async (t) => {
  for (const family of METRIC_FAMILIES) {
    const row = metricRow(family);
    t.match(family, /^relay_[a-z]+(_[a-z0-9]+)+$/, family);
    t.equal(family.endsWith('_total'), row.type === 'counter', `${family} is a ${row.type}`);
    t.match(row.help, /^[A-Z0-9#/].{8,}[.)]$/, `help of ${family}`);
    t.ok(row.threads.length > 0, `${family} has a writer`);
    const values = row.label?.values ?? [];
    t.equal(new Set(values).size, values.length, `labels of ${family} are unique`);
    const buckets = row.buckets ?? [];
    t.same(
      buckets,
      [...buckets].sort((a, b) => a - b),
      `buckets of ${family} rise`,
    );
    if (row.type === 'histogram') t.match(family, /_(seconds|bytes|events)$/);
  }
});

t.test('no two series share a slot, and the page has room for all', async (t) => {
  const taken = new Set<number>();
  const take = (slot: number): void => {
    t.notOk(taken.has(slot), `slot ${slot} is free`);
    t.ok(slot < METRIC_SLOT_COUNT);
    taken.add(slot);
  };
  const writer = new MetricWriter();
  for (const family of METRIC_FAMILIES) {
    const row = metricRow(family);
    const names = row.label?.values.map((value) => `${family}:${value}`) ?? [family];
    for (const name of names) {
      const first = metricSlot(name as Parameters<typeof metricSlot>[0]);
      for (let i = 0; i < (row.buckets === undefined ? 1 : row.buckets.length + 2); i++) {
        take(first + i);
      }
    }
  }
  for (const code of REJECT_CODES) {
    for (const hostClass of HOST_CLASSES) take(rejectSlot(code, hostClass));
  }
  t.equal(taken.size, METRIC_SLOT_COUNT);
  t.equal(METRIC_PAGE_BYTES, METRIC_SLOT_COUNT * 8);
  t.equal(writer.read('relay_store_up'), 0);
});

t.test('a writer counts into its page alone', async (t) => {
  const page = new Float64Array(METRIC_SLOT_COUNT);
  const writer = new MetricWriter(page);
  writer.add('relay_verify_events_total:sync');
  writer.add('relay_verify_events_total:sync', 4);
  writer.set('relay_log_durable_seq', 2 ** 53 - 1);
  writer.addReject('commit_signature_bad');
  writer.addReject('commit_signature_bad', 'trusted');
  t.equal(writer.read('relay_verify_events_total:sync'), 5);
  t.equal(writer.read('relay_verify_events_total:commit'), 0);
  t.equal(writer.read('relay_log_durable_seq'), 2 ** 53 - 1);
  t.equal(writer.readReject('commit_signature_bad'), 1);
  t.equal(writer.readReject('commit_signature_bad', 'trusted'), 1);
  t.equal(writer.readReject('commit_signature_high_s'), 0);
  const next = new MetricWriter(page);
  next.add('relay_verify_events_total:sync');
  t.equal(writer.read('relay_verify_events_total:sync'), 6, 'a successor counts on');
});

t.test('histogram buckets: the bound itself belongs to its bucket', async (t) => {
  const page = new Float64Array(METRIC_SLOT_COUNT);
  const writer = new MetricWriter(page);
  const [first = 0] = CATALOG.relay_log_fsync_seconds.buckets;
  writer.observe('relay_log_fsync_seconds', first);
  writer.observe('relay_log_fsync_seconds', first * 1.001);
  writer.observe('relay_log_fsync_seconds', 1e6);
  const slot = metricSlot('relay_log_fsync_seconds');
  const length = CATALOG.relay_log_fsync_seconds.buckets.length;
  t.same([...page.slice(slot, slot + 2)], [1, 1]);
  t.equal(page[slot + length], 1, '+Inf');
  t.ok((page[slot + length + 1] ?? 0) > 1e6, 'sum');
});

t.test('a page that is too small is refused', async (t) => {
  t.throws(() => new MetricWriter(new Float64Array(METRIC_SLOT_COUNT - 1)), /too small/);
});
