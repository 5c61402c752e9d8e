/**
 * npm run demo: a whole relay with simulated hosts and a consumer on this machine, to look at.
 * Needs no network; leaves nothing behind. See scripts/demo/ for what it is made of.
 */
import { Demo } from './demo/demo.ts';
import { type DemoOptions, demoHelp, parseDemoOptions } from './demo/options.ts';
import { Screen } from './demo/screen.ts';

const EXIT_FAILED = 1;
const EXIT_ARGUMENTS = 2;
const EXIT_INTERRUPTED = 130;
/** One Ctrl-C under `npm run` comes twice: from the terminal and from npm. */
const SAME_SIGNAL_MS = 250;

function readOptions(): DemoOptions {
  const options = parseDemoOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(demoHelp());
    process.exit(0);
  }
  if (Array.isArray(options)) {
    for (const problem of options) console.error(problem);
    console.error('--help lists the options');
    process.exit(EXIT_ARGUMENTS);
  }
  return options;
}

const screen = new Screen(process.stdout);
const demo = new Demo(readOptions(), screen);
let stoppedMs = 0;
let isEnding = false;

function end(code: number): void {
  isEnding = true;
  void demo.kill().finally(() => process.exit(code));
}

function onSignal(name: string): void {
  const nowMs = performance.now();
  if (stoppedMs === 0) {
    stoppedMs = nowMs;
    screen.print(`${name}: stops; once more ends at once`);
    demo.stop();
  } else if (nowMs - stoppedMs > SAME_SIGNAL_MS) end(EXIT_INTERRUPTED);
}

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => onSignal(name));
process.on('uncaughtException', (error) => {
  screen.print(error.stack ?? error.message);
  end(EXIT_FAILED);
});
process.on('exit', () => demo.abandon());
screen.onClose = () => demo.stop();
const code = await demo.run();
// Otherwise the last of it is being ended by force, and then this process.
if (!isEnding) process.exit(code);
