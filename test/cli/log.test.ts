/** `skyrelay log` as an operator runs it: beside a running relay, and on a damaged copy. */
import { spawn } from 'node:child_process';
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Fleet } from '../../scripts/fleet/fleet.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { eventually } from '../helpers/stream-checker.ts';

const MAIN = new URL('../../lib/main.ts', import.meta.url).pathname;

type Run = { code: number | null; stdout: string; stderr: string };

function log(args: readonly string[], env: Record<string, string> = {}): Promise<Run> {
  const child = spawn(process.execPath, [MAIN, 'log', ...args], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const run: Run = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    run.stdout += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    run.stderr += chunk;
  });
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ ...run, code }));
  });
}

const jsonLines = (text: string): Record<string, unknown>[] => {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
};

const fleet = await Fleet.start({ hostCount: 2, accountsPerHost: 3, seed: 5 });
const relay = await RelayProcess.start({ env: { RELAY_PLC_HOST: fleet.directory.url } });
const scratch = mkdtempSync(join(tmpdir(), 'skyrelay-log-'));
const logDir = join(relay.dataDir, 'log');
t.teardown(async () => {
  await relay.dispose();
  await fleet.stop();
  rmSync(scratch, { recursive: true, force: true });
});
for (const host of fleet.hosts) await relay.crawl(host.hostname);
await eventually(() => fleet.hosts.every((host) => host.readerCount === 1), 20_000);
for (const account of fleet.accounts) fleet.announce(account);
for (let i = 0; i < 80; i++) fleet.step();
const total = fleet.sentCount;
const url = relay.url.replace('http', 'ws');

t.test('tail: from a cursor, decoded, as many as asked for', async (t) => {
  const all = await log(['tail', '--cursor', '0', '--count', `${total}`, '--json', '--url', url]);
  t.equal(all.code, 0, all.stderr);
  const events = jsonLines(all.stdout);
  t.same(
    events.map(({ seq }) => seq),
    Array.from({ length: total }, (_, i) => i + 1),
  );
  t.same([...new Set(events.map(({ type }) => type))].sort(), [
    '#account',
    '#commit',
    '#identity',
    '#sync',
  ]);
  const commit = events.find(({ ops }) => Array.isArray(ops) && ops.length > 0);
  t.match(commit, { did: /^did:plc:/, rev: String, commit: /^bafyrei/, ops: [{ path: /^app\./ }] });
  const text = await log(['tail', '--cursor', '3', '--count', '2', '--url', url]);
  t.match(text.stdout, /^ +4 .*\n +5 .*\n$/);
  t.match(text.stderr, /connected to ws:/);
});

t.test('tail: a cursor in the future is refused, in words', async (t) => {
  const refused = await log(['tail', '--cursor', '999999', '--url', url]);
  t.equal(refused.code, 1);
  t.match(refused.stderr, /FutureCursor/);
});

t.test('verify and inspect beside the running relay', async (t) => {
  const dir = { RELAY_DATA_DIR: relay.dataDir };
  // The end of the log is being written: what is not proven yet is no damage.
  const isIdle = async () => jsonLines((await log(['verify', '--json'], dir)).stdout)[0];
  let seen = 0;
  for (let i = 0; i < 100 && seen !== total; i++) seen = Number((await isIdle())?.['recordCount']);
  t.equal(seen, total);
  const whole = await log(['verify'], dir);
  t.equal(whole.code, 0);
  t.match(whole.stdout, new RegExp(`${total} records, \\d+ bytes: whole`));
  t.equal(whole.stderr, '');
  const segments = jsonLines((await log(['inspect', '--json'], dir)).stdout);
  t.match(segments, [{ firstSeq: 1, lastSeq: total, state: 'active' }]);
  const records = jsonLines((await log(['inspect', '7', '--count', '3', '--json'], dir)).stdout);
  t.same(
    records.map(({ seq }) => seq),
    [7, 8, 9],
  );
  t.match(records[0], { did: /^did:plc:/, hostId: Number, hostSeq: Number, arrived: /^20/ });
  const batches = jsonLines((await log(['inspect', '1', '--batches', '--json'], dir)).stdout);
  const count = batches.reduce((sum, batch) => sum + Number(batch['count']), 0);
  t.equal(count, total);
});

t.test('G24 verify: one flipped bit is found, said, and gives its own exit code', async (t) => {
  const copy = join(scratch, 'flipped');
  cpSync(logDir, copy, { recursive: true });
  const [name = ''] = readdirSync(copy).filter((file) => file.endsWith('.seg'));
  const bytes = readFileSync(join(copy, name));
  const at = bytes.length >> 1;
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  writeFileSync(join(copy, name), bytes);
  const found = await log(['verify', '--dir', copy]);
  t.equal(found.code, 65);
  t.match(found.stdout, /damaged: bytes \d+ … \d+, seqs \d+ … \d+ are or may be lost/);
  t.match(found.stdout, /: DAMAGED\n$/);
  const seen = jsonLines(
    (await log(['inspect', '1', '--count', '9999', '--dir', copy, '--json'])).stdout,
  );
  t.ok(
    seen.some(({ damage }) => damage !== undefined),
    'inspect says where records are missing',
  );
});

t.test('verify: a frame that is not what its row says is found, with CRCs right', async (t) => {
  const copy = join(scratch, 'renamed');
  cpSync(logDir, copy, { recursive: true });
  const [name = ''] = readdirSync(copy).filter((file) => file.endsWith('.seg'));
  // The same records under another first seq: every checksum is right, every frame says otherwise.
  writeFileSync(join(copy, '0000000000000501.seg'), readFileSync(join(copy, name)));
  const found = await log(['verify', '--dir', copy]);
  t.equal(found.code, 65);
  t.match(found.stdout, /the header says first seq 1/);
});

t.test('verify: a torn tail is named, and is no damage', async (t) => {
  const copy = join(scratch, 'torn');
  cpSync(logDir, copy, { recursive: true });
  const [name = ''] = readdirSync(copy).filter((file) => file.endsWith('.seg'));
  const bytes = readFileSync(join(copy, name));
  // The log ends with a proof of 64 bytes.
  truncateSync(join(copy, name), bytes.length - 10);
  const found = await log(['verify', '--dir', copy]);
  t.equal(found.code, 0);
  t.match(found.stdout, /54 bytes at the end: being written, or cut short/);
});

t.test('bad arguments and places are said in one line', async (t) => {
  const cases: readonly (readonly [args: string[], code: number, stderr: RegExp])[] = [
    [['verfy'], 2, /unknown command: log verfy; .*--help/],
    [['inspect', 'x'], 2, /inspect takes a whole number, not x/],
    [['inspect', '1', '2'], 2, /too many arguments: 1 2/],
    [['inspect', '--batches'], 2, /--batches needs a seq/],
    [['tail', '--cursor', '-1'], 2, /cursor/],
    [['tail', '--url', 'http://x'], 2, /--url takes ws/],
    [['verify', '--dri', 'x'], 2, /--dri/],
    [['verify', '--dir', join(scratch, 'nowhere')], 74, /ENOENT/],
  ];
  const runs = await Promise.all(cases.map(([args]) => log(args)));
  for (const [index, [args, code, stderr]] of cases.entries()) {
    const run = runs[index];
    t.equal(run?.code, code, args.join(' '));
    t.match(run?.stderr, stderr);
    t.equal(run?.stderr.trim().split('\n').length, 1);
  }
  const help = await log(['--help']);
  t.equal(help.code, 0);
  t.match(help.stdout, /log verify/);
});
