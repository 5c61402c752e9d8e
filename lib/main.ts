/**
 * The `skyrelay` command: arguments, settings, signals and exit codes. What a relay is made of is
 * in relay.ts.
 * @thread main
 */
import { SystemClock } from './base/clock.ts';
import { errorText, RelayFault } from './base/fault.ts';
import { runLogCommand } from './cli/log-command.ts';
import { processEnvironment } from './config/environment.ts';
import { configHelp } from './config/help.ts';
import type { Config } from './config/keys.ts';
import { deriveLimits } from './config/limits.ts';
import { describeConfig, loadConfig } from './config/load.ts';
import { writeStderr } from './logging/stderr.ts';
import { Relay } from './relay.ts';
import { EXIT, exitCodeOf } from './threads/exit.ts';
import { NO_SEAMS, type Seams } from './threads/seams.ts';
import { VERSION } from './threads/version.ts';

const USAGE = `skyrelay ${VERSION}: an AT Protocol relay

Usage: skyrelay [serve]        run the relay; settings come from the environment
       skyrelay log …          check, look into and follow the event log; log --help says more
       skyrelay --help         this text
       skyrelay --version

Without any setting it keeps its log and a PostgreSQL of its own in ./data, serves XRPC and
websockets on :2470, and probes and metrics on :2471. Ctrl-C or SIGTERM stops it in order, a second
one at once.

Exit codes: 0 stopped in order, 2 bad settings, 69 cannot listen, 70 internal failure (restart it),
74 disk or database cannot be used, 75 another relay has the log or the database, 76 log or database
are of a newer version, 130 ended at once by a signal.

`;

/** One Ctrl-C under `npm start` can come twice: from the terminal, and passed on by npm. */
const SAME_SIGNAL_MS = 250;

/** Ends the process with one line on stderr. */
function die(problem: string, code: number): never {
  writeStderr(problem);
  process.exit(code);
}

function readArguments(args: readonly string[]): void {
  for (const arg of args) {
    if (arg === '--help' || arg === '-h') {
      process.stdout.write(`${USAGE}${configHelp()}`);
      process.exit(EXIT.clean);
    }
    if (arg === '--version' || arg === '-V') {
      process.stdout.write(`skyrelay ${VERSION}\n`);
      process.exit(EXIT.clean);
    }
    if (arg !== 'serve') die(`unknown argument ${arg}; --help lists what there is`, EXIT.config);
  }
}

function readConfig(): Config {
  const loaded = loadConfig(processEnvironment());
  if ('problems' in loaded) {
    for (const problem of loaded.problems) writeStderr(problem);
    process.exit(EXIT.config);
  }
  for (const warning of loaded.warnings) writeStderr(warning);
  return loaded.config;
}

/** Runs a relay until a failure or a signal ends it; a second signal ends it at once. */
export async function serve(config: Config, seams: Seams = NO_SEAMS): Promise<Relay> {
  process.on('uncaughtException', (error) => die(`bug: ${describe(error)}`, EXIT.internal));
  process.on('unhandledRejection', (error) => die(`bug: ${describe(error)}`, EXIT.internal));
  const clock = new SystemClock();
  const starting = new AbortController();
  let isStopping = false;
  let firstSignalMs = 0;
  let relay: Relay | undefined;
  const onSignal = (signal: string): void => {
    const isSame = isStopping && clock.monoMs() - firstSignalMs < SAME_SIGNAL_MS;
    if (isSame) return;
    if (isStopping) die(`${signal}: ends at once`, EXIT.interrupted);
    isStopping = true;
    firstSignalMs = clock.monoMs();
    writeStderr(`${signal}: stops; once more ends at once`);
    if (relay !== undefined) stop(relay);
    else starting.abort();
  };
  const stop = (running: Relay): void => {
    void running.stop().then((isClean) => process.exit(isClean ? EXIT.clean : EXIT.internal));
  };
  process.on('SIGINT', () => onSignal('SIGINT'));
  process.on('SIGTERM', () => onSignal('SIGTERM'));
  try {
    relay = await Relay.start(config, seams, starting.signal);
  } catch (error) {
    // Taken back in order: nothing was served yet.
    if (isStopping) process.exit(EXIT.clean);
    die(error instanceof RelayFault ? error.message : describe(error), exitCodeOf(error));
  }
  if (isStopping) stop(relay);
  void relay.failed.then((problem) => {
    if (!isStopping) die(problem, EXIT.internal);
  });
  return relay;
}

function describe(error: unknown): string {
  return error instanceof Error && error.stack !== undefined ? error.stack : errorText(error);
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  if (args[0] === 'log') {
    const { logDir } = deriveLimits(readConfig());
    process.exitCode = await runLogCommand(args.slice(1), logDir);
  } else {
    readArguments(args);
    const config = readConfig();
    for (const line of describeConfig(config)) writeStderr(`setting ${line}`);
    await serve(config);
  }
}
