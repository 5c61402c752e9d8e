/** Takes the lock of the given directory and keeps it until it is killed. */
import { RelayFault } from '../../lib/base/fault.ts';
import { LOCKED_EXIT_CODE, lockLog } from '../../lib/log/lock.ts';

try {
  lockLog(process.argv[2] ?? '', { processId: process.pid });
  process.stdout.write('held\n');
  setInterval(() => {}, 1000);
} catch (error) {
  const isLocked = error instanceof RelayFault && error.code === 'log_locked';
  process.exit(isLocked ? LOCKED_EXIT_CODE : 1);
}
