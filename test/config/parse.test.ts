import t, { type Test } from 'tap';
import {
  formatBytes,
  formatDuration,
  formatListen,
  type Parsed,
  parseBytes,
  parseCount,
  parseDatabaseUrl,
  parseDuration,
  parseFlag,
  parseList,
  parseListen,
  parseOrigin,
} from '../../lib/config/parse.ts';

/** Each text gives the value, or is refused where the value is `undefined`. */
function check<T>(
  t: Test,
  parse: (text: string) => Parsed<T>,
  table: readonly (readonly [text: string, value: T | undefined])[],
): void {
  for (const [text, value] of table) {
    const parsed = parse(text);
    t.same('value' in parsed ? parsed.value : undefined, value, JSON.stringify(text));
  }
}

t.test('durations', async (t) => {
  check(t, parseDuration, [
    ['72h', 259_200_000],
    ['1h30m', 5_400_000],
    ['500ms', 500],
    ['1.5s', 1500],
    ['7d', 604_800_000],
    ['0', 0],
    ['30', undefined],
    ['', undefined],
    ['-1s', undefined],
    ['1s ', undefined],
    ['1e3s', undefined],
    ['1 h', undefined],
    ['1.23456ms', undefined],
    ['99999999999h', undefined],
  ]);
});

t.test('sizes', async (t) => {
  check(t, parseBytes, [
    ['256MiB', 268_435_456],
    ['5MB', 5_000_000],
    ['10 GiB', 10_737_418_240],
    ['4096', 4096],
    ['1.5MiB', undefined],
    ['256mib', undefined],
    ['-1', undefined],
    ['', undefined],
    ['999999999999999TiB', undefined],
  ]);
});

t.test('counts, flags, lists', async (t) => {
  check(t, parseCount, [
    ['5_000_000', 5_000_000],
    ['0', 0],
    ['9007199254740993', undefined],
    ['1e3', undefined],
    ['-1', undefined],
    ['0x10', undefined],
    ['_1', undefined],
  ]);
  check(t, parseFlag, [
    ['true', true],
    ['1', true],
    ['YES', true],
    ['off', false],
    ['maybe', undefined],
  ]);
  check(t, parseList, [['a, b ,,c\n', ['a', 'b', 'c']]]);
});

t.test('addresses', async (t) => {
  check(t, parseListen, [
    [':2470', { host: '', port: 2470 }],
    ['127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
    ['[::1]:2470', { host: '::1', port: 2470 }],
    ['2470', undefined],
    ['a:65536', undefined],
    ['::1:2470', undefined],
    ['a b:1', undefined],
  ]);
});

t.test('origins and database URLs', async (t) => {
  check(t, parseOrigin, [
    ['https://plc.directory/', 'https://plc.directory'],
    ['http://127.0.0.1:2582', 'http://127.0.0.1:2582'],
    ['https://plc.directory/x', undefined],
    ['https://u:p@plc.directory', undefined],
    ['ftp://plc.directory', undefined],
    ['plc.directory', undefined],
  ]);
  check(t, parseDatabaseUrl, [
    ['postgres://u:p@h:5432/db', 'postgres://u:p@h:5432/db'],
    ['postgresql:///db?host=/run', 'postgresql:///db?host=/run'],
    ['sqlite://x', undefined],
    ['postgres=dsn', undefined],
  ]);
});

t.test('what is printed parses back', async (t) => {
  t.equal(formatDuration(259_200_000), '3d');
  t.equal(formatDuration(1500), '1500ms');
  t.equal(formatBytes(268_435_456), '256MiB');
  t.equal(formatBytes(1_000_000), '1000000');
  t.equal(formatListen({ host: '::1', port: 1 }), '[::1]:1');
  t.equal(formatListen({ host: '', port: 1 }), ':1');
});
