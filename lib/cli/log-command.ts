/**
 * `skyrelay log …`: its arguments, its output and its exit codes. The work is in the files beside.
 * @thread main
 */
import { parseArgs } from 'node:util';
import { SystemClock } from '../base/clock.ts';
import { RelayFault } from '../base/fault.ts';
import { Prng } from '../base/prng.ts';
import { parseSegmentName } from '../log/descriptor.ts';
import { realLogFiles } from '../log/files.ts';
import { eventLine } from './event-text.ts';
import { type Line, listBatches, listLog, listRecords } from './log-inspect.ts';
import { tailStream } from './log-tail.ts';
import { type SegmentReport, verifyLog } from './log-verify.ts';

export const LOG_USAGE = `skyrelay log: looks at the event log; changes nothing, beside a relay too

Usage: skyrelay log verify  [--dir DIR] [--json]
       skyrelay log inspect [SEQ | SEGMENT] [--batches] [--count N] [--dir DIR] [--json]
       skyrelay log tail    [--cursor SEQ] [--count N] [--url URL] [--json]

verify   reads every byte: chain, checksums, seqs without a gap, frames that are what their rows say
inspect  without an argument lists the segments; with a seq or a segment its records from there on
         (20, or --count), or with --batches the batches of that segment
tail     follows the stream of a running relay, decoded; --cursor 0 starts with the oldest event

  --dir DIR     the log's directory (RELAY_PERSIST_DIR, or log in RELAY_DATA_DIR, or ./data/log)
  --url URL     the relay (default ws://127.0.0.1:2470)
  --json        one JSON object per line instead of text

Exit codes: 0 done, and the log is whole; 1 the relay refused the stream; 2 bad arguments; 65 the
log is damaged; 74 it cannot be read; 76 it is of a newer version.
`;

const EXIT_REFUSED = 1;
const EXIT_ARGUMENTS = 2;
const EXIT_DAMAGED = 65;
const EXIT_UNREADABLE = 74;
const EXIT_NEWER = 76;
const COUNT_DEFAULT = 20;

class ArgumentError extends Error {}

/** Runs `skyrelay log` with what stands behind it; resolves with the exit code. */
export async function runLogCommand(args: readonly string[], logDir: string): Promise<number> {
  // `log tail | head` closes our output: that is no failure.
  process.stdout.on('error', () => process.exit(0));
  try {
    return await run(args, logDir);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error instanceof ArgumentError || isParseError(error)) {
      process.stderr.write(
        `skyrelay: ${oneLine(error.message)}; skyrelay log --help says what there is\n`,
      );
      return EXIT_ARGUMENTS;
    }
    if (!(error instanceof RelayFault)) throw error;
    process.stderr.write(`skyrelay: ${error.message}\n`);
    if (error.code === 'log_version_unknown') return EXIT_NEWER;
    return error.code === 'stream_refused' ? EXIT_REFUSED : EXIT_UNREADABLE;
  }
}

function isParseError(error: Error): boolean {
  return 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ');
}

async function run(args: readonly string[], logDir: string): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      dir: { type: 'string' },
      url: { type: 'string' },
      cursor: { type: 'string' },
      count: { type: 'string' },
      batches: { type: 'boolean' },
      json: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const [command, ...rest] = positionals;
  if (values.help || command === undefined) {
    process.stdout.write(LOG_USAGE);
    return command === undefined && !values.help ? EXIT_ARGUMENTS : 0;
  }
  const directory = values.dir ?? logDir;
  const isJson = values.json === true;
  const print = (line: Line): void => {
    process.stdout.write(`${isJson ? JSON.stringify(line.json) : line.text}\n`);
  };
  if (rest.length > (command === 'inspect' ? 1 : 0)) {
    throw new ArgumentError(`too many arguments: ${rest.join(' ')}`);
  }
  if (command === 'verify') return verify(directory, print);
  if (command === 'inspect') {
    const count = values.count === undefined ? COUNT_DEFAULT : wholeNumber('--count', values.count);
    return inspect(directory, rest[0], values.batches === true, count, print);
  }
  if (command !== 'tail') throw new ArgumentError(`unknown command: log ${command}`);
  const countMax = values.count === undefined ? Infinity : wholeNumber('--count', values.count);
  const cursor = values.cursor === undefined ? undefined : wholeNumber('--cursor', values.cursor);
  return tail(values.url ?? 'ws://127.0.0.1:2470', cursor, countMax, isJson);
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new ArgumentError(`${name} takes a whole number, not ${text}`);
  }
  return value;
}

async function verify(directory: string, print: (line: Line) => void): Promise<number> {
  const onSegment = (report: SegmentReport): void => {
    print({ json: report, text: segmentText(report) });
  };
  const report = await verifyLog(directory, realLogFiles, new SystemClock(), onSegment);
  const { recordCount, bytes, isWhole, segments } = report;
  const verdict = isWhole ? 'whole' : 'DAMAGED';
  print({
    json: { segmentCount: segments.length, recordCount, bytes, isWhole },
    text: `${segments.length} segments, ${recordCount} records, ${bytes} bytes: ${verdict}`,
  });
  return isWhole ? 0 : EXIT_DAMAGED;
}

function segmentText(report: SegmentReport): string {
  const { name, firstSeq, lastSeq, recordCount, bytes, tornBytes, problemCount } = report;
  const seqs = lastSeq < firstSeq ? 'no records' : `${firstSeq} … ${lastSeq}`;
  const verdict = problemCount === 0 ? 'whole' : `${problemCount} problems`;
  const lines = [`${name}  ${seqs}  ${recordCount} records  ${bytes} bytes  ${verdict}`];
  if (tornBytes > 0) {
    const why = 'being written, or cut short by a crash; the next start cuts it off';
    lines.push(`  ${tornBytes} bytes at the end: ${why}`);
  }
  for (const problem of report.problems) lines.push(`  ${problem}`);
  const more = problemCount - report.problems.length;
  if (more > 0) lines.push(`  and ${more} more`);
  return lines.join('\n');
}

async function inspect(
  directory: string,
  place: string | undefined,
  isBatches: boolean,
  count: number,
  print: (line: Line) => void,
): Promise<number> {
  if (place === undefined) {
    if (isBatches) throw new ArgumentError('--batches needs a seq or a segment');
    await listLog(directory, realLogFiles, new SystemClock(), print);
    return 0;
  }
  const seq = parseSegmentName(place) ?? wholeNumber('inspect', place);
  if (isBatches) await listBatches(directory, realLogFiles, seq, print);
  else await listRecords(directory, realLogFiles, seq, count, print);
  return 0;
}

async function tail(
  url: string,
  cursor: number | undefined,
  countMax: number,
  isJson: boolean,
): Promise<number> {
  if (!/^wss?:\/\/[^/?#]+$/.test(url))
    throw new ArgumentError(`--url takes ws://host:port: ${url}`);
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ending.abort());
  await tailStream({
    url,
    cursor,
    countMax,
    clock: new SystemClock(),
    prng: new Prng(Prng.randomSeed()),
    signal: ending.signal,
    onEvent: (event) => {
      const isTaken = process.stdout.write(
        `${isJson ? JSON.stringify(event) : eventLine(event)}\n`,
      );
      if (isTaken) return undefined;
      return new Promise((resolve) => process.stdout.once('drain', resolve));
    },
    onNote: (note) => process.stderr.write(`skyrelay: ${note}\n`),
  });
  return 0;
}
