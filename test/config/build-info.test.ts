import t from 'tap';
import { buildInfo } from '../../lib/config/build-info.ts';

t.test('run from source it names the version and no commit', async (t) => {
  t.match(buildInfo(), { version: /^\d+\.\d+\.\d+/, commit: '' });
});
