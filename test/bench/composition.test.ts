/** What we are compared with does judge: it passes what is right and refuses what is not. */
import t from 'tap';
import { Prng } from '../../lib/base/prng.ts';
import { type CorpusCommit, corpus } from '../../scripts/fleet/corpus.ts';
import { commitFrame } from '../../scripts/fleet/event-frames.ts';
import { oracleVerdict } from '../verify/oracle.ts';
import { judgeByLibraries } from './composition.ts';

async function passes(frame: Buffer, { key }: CorpusCommit): Promise<boolean> {
  return judgeByLibraries(frame, key).then(
    () => true,
    () => false,
  );
}

for (const curve of ['k256', 'p256'] as const) {
  t.test(`the libraries on ${curve}`, async (t) => {
    const prng = new Prng(1);
    const commits = [...corpus({ seed: 'composition', recordCount: 300, curve }).take(40)];
    let flipsPassed = 0;
    for (const [index, commit] of commits.entries()) {
      t.ok(await passes(commit.frame, commit), `commit ${index}`);
      const prevData = commits[(index + 1) % commits.length]?.parts.commitCid ?? '';
      const forged = commitFrame({ ...commit.parts, prevData }, commit.stamp);
      t.notOk(await passes(forged, commit), 'another prevData');
      for (let i = 0; i < 10; i++) {
        const flipped = Buffer.from(commit.frame);
        const at = prng.nextBelow(flipped.length);
        flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << prng.nextBelow(8)), at);
        if (!(await passes(flipped, commit))) continue;
        flipsPassed++;
        const didKey = `did:key:${commit.key.multibase}`;
        t.equal(await oracleVerdict(flipped, didKey), 'pass', 'a flip that the oracle passes too');
      }
    }
    t.ok(flipsPassed < 40, `${flipsPassed} of 400 flips were in fields that nobody judges`);
  });
}
