import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type Config, KEYS } from '../../lib/config/keys.ts';
import { deriveLimits } from '../../lib/config/limits.ts';
import { describeConfig, type Environment, loadConfig } from '../../lib/config/load.ts';

const PASSWORD = 'a long enough password';

function load(env: Environment): Config {
  const loaded = loadConfig(env);
  if ('problems' in loaded) throw new Error(loaded.problems.join('\n'));
  return loaded.config;
}

function problems(env: Environment): readonly string[] {
  const loaded = loadConfig(env);
  return 'problems' in loaded ? loaded.problems : [];
}

t.test('defaults are those of the reference relay where it has them', async (t) => {
  const config = load({ PATH: '/bin', HOME: '/root' });
  t.match(config, {
    apiListen: { host: '', port: 2470 },
    metricsListen: { host: '', port: 2471 },
    plcOrigin: 'https://plc.directory',
    replayWindowMs: 72 * 3600 * 1000,
    accountsPerHostMax: 100,
    newHostsPerDayMax: 50,
    trustedDomains: ['*.host.bsky.network'],
    adminPasswords: [],
    databaseUrl: '',
    databaseConnectionsMax: 40,
    initialSeq: 1,
    logLevel: 'info',
  });
  t.ok(config.verifyThreadCount >= 1 && config.verifyThreadCount <= 16);
  t.same(describeConfig(config), [], 'nothing differs from the defaults');
});

t.test('every name of the table is read, and nothing else is', async (t) => {
  const config = load({
    RELAY_API_LISTEN: '127.0.0.1:0',
    ATP_PLC_HOST: 'http://localhost:2582',
    RELAY_EVENT_PLAYBACK_TTL: '1h30m',
    LOG_LEVEL: 'WARN',
    RELAY_ADMIN_KEY: `${PASSWORD},${PASSWORD}2`,
    RELAY_ALLOW_INSECURE_HOSTS: 'true',
    RELAY_SEGMENT_BYTES: '',
  });
  t.match(config, {
    apiListen: { host: '127.0.0.1', port: 0 },
    plcOrigin: 'http://localhost:2582',
    replayWindowMs: 5_400_000,
    logLevel: 'warn',
    adminPasswords: [PASSWORD, `${PASSWORD}2`],
    areInsecureHostsAllowed: true,
    segmentBytesMax: 268_435_456,
  });
});

t.test('an unknown RELAY_ name stops the start and names the nearest', async (t) => {
  t.same(problems({ RELAY_REPLAY_WINDO: '1h' }), [
    'RELAY_REPLAY_WINDO is not a setting, did you mean RELAY_REPLAY_WINDOW?',
  ]);
  t.same(problems({ RELAY_METRIC_LISTEN: ':1' }), [
    'RELAY_METRIC_LISTEN is not a setting, did you mean RELAY_METRICS_LISTEN?',
  ]);
  t.same(problems({ RELAY_XYZZY_PLUGH_FROTZ_QUX: '1' }), [
    'RELAY_XYZZY_PLUGH_FROTZ_QUX is not a setting (see --help)',
  ]);
});

t.test('names of the reference relay without meaning here only warn', async (t) => {
  const loaded = loadConfig({
    RELAY_SIBLING_RELAYS: 'a.example',
    RELAY_PORT_2470_TCP: 'tcp://10.0.0.1:2470',
    RELAY_SERVICE_HOST: '10.0.0.1',
  });
  t.match(loaded, {
    warnings: [/^RELAY_SIBLING_RELAYS has no effect/, /^RELAY_PORT_2470_TCP/, /SERVICE_HOST/],
  });
});

t.test('bad values are refused with their range, all at once (C11)', async (t) => {
  t.same(
    problems({
      RELAY_REPLAY_WINDOW: '72',
      RELAY_SEGMENT_BYTES: '1',
      RELAY_VERIFY_THREADS: '0',
      RELAY_LOG_LEVEL: 'loud',
      RELAY_ALLOW_INSECURE_HOSTS: 'maybe',
    }).map((line) => line.split(' is refused')[0]),
    [
      'RELAY_LOG_LEVEL="loud"',
      'RELAY_REPLAY_WINDOW="72"',
      'RELAY_SEGMENT_BYTES="1"',
      'RELAY_ALLOW_INSECURE_HOSTS="maybe"',
      'RELAY_VERIFY_THREADS="0"',
    ],
  );
  t.match(problems({ RELAY_VERIFY_THREADS: '17' }), [/expected within 1 … 16$/]);
  t.match(problems({ RELAY_CONSUMER_STALL: `${2 ** 31}h` }), [/expected a duration/]);
});

t.test('each number is checked at both ends of its range (C11)', async (t) => {
  for (const row of Object.values(KEYS)) {
    const [minText, maxText] = row.rangeText.split(' … ');
    if (maxText === undefined || minText === undefined) continue;
    const inside = [minText, maxText].map((text) => 'value' in row.read(text));
    t.same(inside, [true, true], `${row.env} takes its own bounds`);
    const unit = /[a-zA-Z]*$/.exec(maxText)?.[0] ?? '';
    const over = `${Number.parseInt(maxText, 10) + 1}${unit}`;
    t.notOk('value' in row.read(over), `${row.env} refuses ${over}`);
  }
});

t.test('two names of one setting must agree', async (t) => {
  t.match(problems({ RELAY_API_BIND: ':1', RELAY_API_LISTEN: ':2' }), [
    'RELAY_API_BIND and RELAY_API_LISTEN are both set and differ: keep one',
  ]);
  t.equal(load({ RELAY_API_BIND: ':1', RELAY_API_LISTEN: ':1' }).apiListen.port, 1);
});

t.test('secrets come from files, too, and are never printed (S44)', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'config-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'password');
  writeFileSync(file, `${PASSWORD}\n${PASSWORD}2\n`);
  const config = load({
    RELAY_ADMIN_PASSWORD_FILE: file,
    DATABASE_URL: 'postgres://relay:hunter2@db/relay',
  });
  t.same(config.adminPasswords, [PASSWORD, `${PASSWORD}2`]);
  t.same(describeConfig(config), [
    'RELAY_ADMIN_PASSWORD=***,***',
    'DATABASE_URL=postgres://relay:***@db/relay',
  ]);
  const shown = [
    ...problems({ RELAY_ADMIN_PASSWORD: 'hunter2' }),
    ...problems({ DATABASE_URL: 'mysql://hunter2' }),
  ].join('\n');
  t.notMatch(shown, /hunter2/);
  t.match(shown, /RELAY_ADMIN_PASSWORD is refused: expected of 16 characters or more each/);
  t.match(problems({ RELAY_ADMIN_PASSWORD_FILE: join(folder, 'none') }), [/ENOENT/]);
  t.match(problems({ RELAY_ADMIN_PASSWORD_FILE: file, RELAY_ADMIN_PASSWORD: PASSWORD }), [
    /differ/,
  ]);
  t.match(problems({ RELAY_PLC_HOST_FILE: file }), [/is not a setting/], 'only for secrets');
});

t.test('rules between settings', async (t) => {
  const table: readonly (readonly [Environment, RegExp])[] = [
    [{ RELAY_INGEST_RING_BYTES: '24MiB' }, /RELAY_INGEST_RING_BYTES must be a power of two/],
    [{ RELAY_VERIFIED_RING_BYTES: '17MiB' }, /RELAY_VERIFIED_RING_BYTES must be a power of two/],
    [{ RELAY_HELD_BYTES: '33MiB' }, /RELAY_HELD_BYTES must be a power of two/],
    [{ RELAY_TAIL_RING_BYTES: '17MiB' }, /RELAY_TAIL_RING_BYTES must be a power of two/],
    [{ RELAY_IDENTITY_HOLD_BYTES: '32MiB' }, /half of RELAY_HELD_BYTES/],
    [{ RELAY_RETENTION_BYTES: '256MiB' }, /twice RELAY_SEGMENT_BYTES/],
    [{ MAX_DB_CONNECTIONS: '4', RELAY_VERIFY_THREADS: '2' }, /RELAY_VERIFY_THREADS \+ 3/],
    [{ RELAY_TLS_CONCURRENCY: '513' }, /RELAY_DIAL_CONCURRENCY/],
    [{ RELAY_UPSTREAM_IDLE: '59s' }, /twice RELAY_UPSTREAM_PING/],
    [{ RELAY_HTTP_CONNECTIONS_MAX: '2000' }, /RELAY_CONSUMERS_MAX must be below/],
  ];
  for (const [env, line] of table) t.match(problems(env), [line]);
});

t.test('the config is frozen to the bottom', async (t) => {
  const config = load({});
  t.throws(() => Object.assign(config, { dataDir: 'x' }), TypeError);
  t.throws(() => Object.assign(config.apiListen, { port: 1 }), TypeError);
  t.throws(() => Object.assign(config.trustedDomains, ['x']), TypeError);
});

t.test('limits that follow from the settings', async (t) => {
  const config = load({
    RELAY_REPLAY_WINDOW: '10m',
    RELAY_VERIFY_THREADS: '4',
    RELAY_DATA_DIR: '/srv/relay',
    RELAY_IDENTITY_CONCURRENCY: '2',
  });
  t.match(deriveLimits(config), {
    dataDir: '/srv/relay',
    logDir: '/srv/relay/log',
    quarantineDir: '/srv/relay/quarantine',
    segmentAgeMsMax: 600_000,
    identityConcurrencyPerThread: 1,
    databaseConnectionsOfMain: 20,
    databaseConnectionsPerThread: 5,
    sharedBytes: (4 * (32 + 16 + 32) + 64) * 1024 * 1024,
  });
  t.equal(deriveLimits(load({ RELAY_PERSIST_DIR: '/log' })).logDir, '/log');
});
