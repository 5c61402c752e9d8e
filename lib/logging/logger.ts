/**
 * JSON log lines, one logger per thread and one child per station. Owns the format and the call
 * into pino; does not know where lines go (sink.ts) or what must be masked (sanitize.ts). The only
 * importer of pino. A call never blocks and never throws.
 * @thread any
 */
import { type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';
import { type Clock, SystemClock } from '../base/clock.ts';
import { MiB } from '../base/units.ts';
import { sanitizeFields, sanitizeText } from './sanitize.ts';
import { LINE_BYTES_MAX, LineSink } from './sink.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export type Logger = {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  fatal(fields: object, message: string): void;
  /** A logger of one station; every line carries its name. */
  child(name: string): Logger;
};

/** The logger a thread makes once; its children share the sink. */
export type RootLogger = Logger & {
  /** Lines lost since the start because the reader of the output stalled or is gone. */
  droppedLines(): number;
  /** Writes what waits and is taken now: a thread with `isLoopless` calls it now and then. */
  retry(): void;
  /** Writes what waits, for a quarter of a second at most. Runs by itself when the thread ends. */
  flushSync(): void;
  /** Ends the logger; later lines are dropped and counted. */
  close(): void;
};

export type LoggerOptions = {
  readonly level: LogLevel;
  /** File descriptor, 1 for stdout. */
  readonly destinationFd: number;
  /** Name of the thread, as `main` or `verify-3`. */
  readonly name: string;
  readonly clock?: Clock;
  /** The thread never comes back to its event loop. */
  readonly isLoopless?: boolean;
  /** Bytes kept while the reader stalls; what comes on top is dropped. */
  readonly pendingBytesMax?: number;
  readonly onDrop?: (lineCount: number) => void;
};

const MESSAGE_CHARS_MAX = 512;

export function createLogger(options: LoggerOptions): RootLogger {
  const sink = new LineSink({
    fd: options.destinationFd,
    pendingBytesMax: options.pendingBytesMax ?? MiB,
    clock: options.clock ?? new SystemClock(),
    isLoopless: options.isLoopless,
    onDrop: options.onDrop,
  });
  let reportedDrops = 0;
  const writeLine = (line: string): void => {
    sink.write(shortenLine(line));
    if (sink.droppedLines === reportedDrops || sink.pendingBytes > 0) return;
    // The reader is back: say once how much it missed.
    const droppedLines = sink.droppedLines - reportedDrops;
    reportedDrops = sink.droppedLines;
    sink.write(`${JSON.stringify({ level: 'warn', thread: options.name, droppedLines })}\n`);
  };
  const writer = pino(
    {
      level: options.level,
      base: { thread: options.name },
      timestamp: stdTimeFunctions.isoTime,
      // sanitize.ts has made plain objects of errors already.
      serializers: { err: (error: unknown) => error },
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => writeLine(line) },
  );
  const onExit = (): void => sink.flushSync();
  process.on('exit', onExit);
  return {
    ...wrap(writer),
    droppedLines: () => sink.droppedLines,
    retry: () => sink.retry(),
    flushSync: () => sink.flushSync(),
    close: () => {
      process.off('exit', onExit);
      sink.close();
    },
  };
}

function wrap(writer: PinoLogger): Logger {
  const at =
    (level: Exclude<LogLevel, 'silent'>) =>
    (fields: object, message: string): void => {
      if (!writer.isLevelEnabled(level)) return;
      writer[level](sanitizeFields(fields), sanitizeText(message, MESSAGE_CHARS_MAX));
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: (name) => wrap(writer.child({ station: name })),
  };
}

/** A line over PIPE_BUF could mix with another thread's: it keeps its head and says so. */
function shortenLine(line: string): string {
  const lineBytes = Buffer.byteLength(line);
  if (lineBytes <= LINE_BYTES_MAX) return line;
  const head = line.slice(0, LINE_BYTES_MAX / 4);
  return `${JSON.stringify({ level: 'warn', cutBytes: lineBytes, line: head })}\n`;
}

/** Drops everything; for tests and one-shot commands that print for themselves. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  fatal: () => {},
  child: () => silentLogger,
};
