import t from 'tap';
import { HOST_CLASSES, REJECT_FAMILY } from '../../lib/metrics/catalog.ts';
import { METRIC_FAMILIES, metricRow } from '../../lib/metrics/slots.ts';
import { REJECT_CODES } from '../../lib/reject/codes.ts';
import { objectsIn, ofKind } from './objects.ts';

/** Series name → label → the values it can have. */
const SERIES = new Map<string, ReadonlyMap<string, readonly string[]>>([
  [
    REJECT_FAMILY,
    new Map<string, readonly string[]>([
      ['reason', REJECT_CODES],
      ['host_class', HOST_CLASSES],
    ]),
  ],
]);
for (const family of METRIC_FAMILIES) {
  const { type, label } = metricRow(family);
  const labels = new Map(label === undefined ? [] : [[label.name, label.values]]);
  const suffixes = type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
  for (const suffix of suffixes) SERIES.set(family + suffix, labels);
}

/** What is wrong with the series and labels that an expression names. */
function problems(expression: string): string[] {
  const found: string[] = [];
  for (const [, name = '', selector = ''] of expression.matchAll(/(relay_\w+)(?:\{([^}]*)\})?/g)) {
    const labels = SERIES.get(name);
    if (labels === undefined) found.push(`${name} is not in the catalogue`);
    for (const [, label = '', value = ''] of selector.matchAll(/(\w+)="([^"]*)"/g)) {
      const isKnown = labels?.get(label)?.includes(value) ?? false;
      if (!isKnown) found.push(`${name} has no ${label}="${value}"`);
    }
  }
  return found;
}

t.test('the check fires', async (t) => {
  t.same(problems('relay_log_paused == 1'), []);
  t.same(problems('relay_log_fsync_seconds > 1'), [
    'relay_log_fsync_seconds is not in the catalogue',
  ]);
  t.same(problems('relay_verify_events_total{kind="comit"}'), [
    'relay_verify_events_total has no kind="comit"',
  ]);
});

t.test('alerts name only series and labels of the catalogue', async (t) => {
  const [rule] = ofKind(objectsIn('components/monitoring'), 'PrometheusRule');
  const alerts = rule?.at('spec', 'groups').items.flatMap((group) => group.at('rules').items) ?? [];
  t.ok(alerts.length > 10);
  for (const alert of alerts) {
    const name = alert.at('alert').text;
    const expression = alert.at('expr').text;
    t.match(expression, /relay_/, name);
    t.same(problems(expression), [], name);
    t.match(alert.at('labels', 'severity').text, /^(critical|warning|info)$/, name);
    t.match(alert.at('annotations', 'summary').text, /^.{20,}\.$/, name);
  }
});
