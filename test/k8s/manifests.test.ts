/** What a schema cannot say about the manifests: names that fit, budgets that add up (A7, A8). */
import t, { type Test } from 'tap';
import { KEYS } from '../../lib/config/keys.ts';
import { loadConfig } from '../../lib/config/load.ts';
import { LONG_OPERATION_MS_MAX, STALL_MS_MAX } from '../../lib/health/verdict.ts';
import { type Node, objectsIn, ofKind, render } from './objects.ts';

const GIB = 1024 ** 3;
const MEMORY = /^(\d+)Gi$/;

function checkPod(t: Test, set: Node): void {
  const spec = set.at('spec', 'template', 'spec');
  const container = spec.at('containers', 0);
  t.equal(set.at('spec', 'replicas').value, 1, 'G23: one writer');
  t.match(
    set.at('spec', 'template', 'metadata', 'labels').value,
    set.at('spec', 'selector', 'matchLabels').value,
    'the selector finds the pods',
  );

  const volumes = [...spec.at('volumes').items, ...set.at('spec', 'volumeClaimTemplates').items];
  const names = volumes.map(
    (volume) => volume.at('name').value ?? volume.at('metadata', 'name').value,
  );
  for (const mount of container.at('volumeMounts').items) {
    t.ok(names.includes(mount.at('name').value), `volume ${mount.at('name').text}`);
  }

  t.match(spec.at('securityContext').value, {
    runAsNonRoot: true,
    runAsUser: 10001,
    seccompProfile: { type: 'RuntimeDefault' },
  });
  t.match(container.at('securityContext').value, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
  t.equal(spec.at('automountServiceAccountToken').value, false);
  t.equal(spec.at('enableServiceLinks').value, false, 'they would look like RELAY_ settings');
  t.equal(container.at('resources', 'limits', 'cpu').value, undefined, 'throttling is a stall');
  const [, limit] = MEMORY.exec(container.at('resources', 'limits', 'memory').text) ?? [];
  t.ok(Number(limit) >= 1);
  const options = container
    .at('env')
    .items.find((entry) => entry.at('name').value === 'NODE_OPTIONS');
  const [, heapMb] = /--max-old-space-size=(\d+)/.exec(options?.at('value').text ?? '') ?? [];
  t.ok(heapMb === undefined || Number(heapMb) * 1024 ** 2 <= 0.6 * Number(limit) * GIB, 'heap');
}

function checkProbes(t: Test, set: Node): void {
  const container = set.at('spec', 'template', 'spec', 'containers', 0);
  const ports = container.at('ports').items.map((port) => port.at('name').value);
  const paths = {
    startupProbe: '/_healthz',
    livenessProbe: '/_healthz',
    readinessProbe: '/_readyz',
  };
  for (const [probe, path] of Object.entries(paths)) {
    t.equal(container.at(probe, 'httpGet', 'path').value, path, `A7: ${probe}`);
    t.equal(container.at(probe, 'httpGet', 'port').value, 'probes', `${probe} has its own port`);
  }
  t.ok(ports.includes('probes') && ports.includes('api'));
  const budgetMs = (probe: string): number =>
    1000 *
    container.at(probe, 'periodSeconds').number *
    container.at(probe, 'failureThreshold').number;
  t.ok(budgetMs('startupProbe') >= LONG_OPERATION_MS_MAX, 'A8: a recovery fits into the start');
  t.ok(budgetMs('livenessProbe') + STALL_MS_MAX >= 90_000, 'a stall of a minute is survived');
}

function checkEnd(t: Test, set: Node): void {
  const spec = set.at('spec', 'template', 'spec');
  const preStop = spec.at('containers', 0, 'lifecycle', 'preStop', 'sleep', 'seconds').number;
  const drainSeconds = KEYS.shutdownMsMax.fallback() / 1000;
  t.ok(preStop >= 5);
  t.ok(
    spec.at('terminationGracePeriodSeconds').number >= preStop + drainSeconds + 10,
    'G25: the drain ends before the kill',
  );
}

function checkSettings(t: Test, set: Node): void {
  const env = set
    .at('spec', 'template', 'spec', 'containers', 0, 'env')
    .items.map((entry): [string, string] => [entry.at('name').text, entry.at('value').text]);
  const plain = env.filter(([name]) => !name.endsWith('_FILE'));
  t.match(loadConfig(Object.fromEntries(plain)), { config: {}, warnings: [] });
  const secret = new Set(Object.values(KEYS).flatMap((r) => (r.isSecret ? [`${r.env}_FILE`] : [])));
  for (const [name] of env) if (name.endsWith('_FILE')) t.ok(secret.has(name), name);
  t.notMatch(JSON.stringify(env), /postgres:\/\//, 'S44: no secret in a manifest');
}

function checkRest(t: Test, objects: readonly Node[]): void {
  const [set] = ofKind(objects, 'StatefulSet');
  const labels = set?.at('spec', 'template', 'metadata', 'labels');
  const ports = set?.at('spec', 'template', 'spec', 'containers', 0, 'ports').items ?? [];
  for (const service of ofKind(objects, 'Service')) {
    t.match(
      labels?.value,
      service.at('spec', 'selector').value,
      service.at('metadata', 'name').text,
    );
    for (const port of service.at('spec', 'ports').items) {
      const isNamed = ports.some(
        ({ value }) => Reflect.get(Object(value), 'name') === port.at('targetPort').value,
      );
      t.ok(isNamed, `port ${port.at('targetPort').text}`);
    }
  }
  const [pdb] = ofKind(objects, 'PodDisruptionBudget');
  t.equal(pdb?.at('spec', 'minAvailable').value, undefined, 'it would block drains for ever');
  t.equal(pdb?.at('spec', 'maxUnavailable').value, 1);
}

function checkNetwork(t: Test, objects: readonly Node[]): void {
  const [policy] = ofKind(objects, 'NetworkPolicy');
  t.same(policy?.at('spec', 'podSelector').value, {
    matchLabels: { 'app.kubernetes.io/name': 'skyrelay' },
  });
  // Word by word: tools that add labels to selectors have cut DNS off before.
  t.same(policy?.at('spec', 'egress', 0, 'to', 0).value, {
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
    podSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
  });
  t.same(policy?.at('spec', 'egress', 1, 'to', 0).value, {
    podSelector: { matchLabels: { 'app.kubernetes.io/name': 'postgres' } },
  });
  const blocks = policy?.at('spec', 'egress', 2, 'to').items ?? [];
  const except = blocks.flatMap((block) => block.at('ipBlock', 'except').value);
  const walled = ['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'];
  for (const cidr of [...walled, '192.168.0.0/16', '198.18.0.0/15']) {
    t.ok(except.includes(cidr), `no way to ${cidr}`);
  }
  t.same(
    blocks.map((block) => block.at('ipBlock', 'cidr').value),
    ['0.0.0.0/0', '2000::/3'],
  );
}

function checkAll(t: Test, objects: readonly Node[]): void {
  const sets = ofKind(objects, 'StatefulSet');
  t.equal(sets.length, 1);
  t.same(ofKind(objects, 'Deployment'), [], 'a roll-out would run two writers');
  for (const set of sets) {
    checkPod(t, set);
    checkProbes(t, set);
    checkEnd(t, set);
    checkSettings(t, set);
  }
  checkRest(t, objects);
  checkNetwork(t, objects);
}

t.test('k8s/base as written', async (t) => checkAll(t, objectsIn('base')));

for (const overlay of ['dev', 'prod']) {
  const objects = render(overlay);
  // Not every machine has it; the base is checked in any case.
  const skip = objects === undefined ? 'rendering needs kubectl' : false;
  t.test(`k8s/overlays/${overlay} as applied`, { skip }, async (t) => checkAll(t, objects ?? []));
}
