/**
 * Puts one known mistake into the relay while it is loaded, to see that a test catches it. Loaded
 * with `--import` into the relay's process, from which its threads inherit it. A mistake that no
 * longer applies (its line has changed) ends the process: a control that does nothing proves
 * nothing.
 */
import { registerHooks } from 'node:module';

type Edit = { readonly file: string; readonly from: string; readonly to: string };

/** Shows consumers a batch, waits a moment, and only then writes it. */
const PUBLISH_FIRST: Edit[] = [
  {
    file: 'lib/log/persist-stage.ts',
    from: '    log.write(batch);\n',
    to: `    tail.write(batch.frames, 0, batch.framesBytes);
    this.#view.lastSeq = log.nextSeq - 1 + batch.count;
    this.#view.segmentFirstSeq = log.segmentFirstSeq;
    this.#view.byteEnd = log.byteEnd;
    this.#view.tailEnd = tail.end;
    this.#parts.commit.fill(this.#view);
    this.#parts.commit.publish();
    this.#words.wakeAll();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
    log.write(batch);
`,
  },
  {
    file: 'lib/log/persist-stage.ts',
    from: '    tail.write(batch.frames, 0, batch.framesBytes);\n    const next',
    to: '    const next',
  },
];

/** Saves cursors as soon as frames are routed, while the log writer is slow. */
const CURSOR_FIRST: Edit[] = [
  {
    file: 'lib/threads/ingest.ts',
    from: 'completedNo: (shard) => ((completed[shard]?.observe() ?? 0) + 1) | 0,',
    to: 'completedNo: (shard) => (router.lastNo(shard) + 1) | 0,',
  },
  {
    file: 'lib/log/persist-stage.ts',
    from: '    log.write(batch);\n',
    to: `    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
    log.write(batch);
`,
  },
];

export const SABOTAGES = { 'publish-first': PUBLISH_FIRST, 'cursor-first': CURSOR_FIRST } as const;

const name = process.env['TEST_SABOTAGE'];
if (name !== undefined) {
  const edits = SABOTAGES[name as keyof typeof SABOTAGES];
  registerHooks({
    load: (url, context, nextLoad) => {
      const result = nextLoad(url, context);
      const mine = edits.filter((edit) => url.endsWith(edit.file));
      if (mine.length === 0) return result;
      let source = String(result.source);
      for (const { file, from, to } of mine) {
        if (source.split(from).length !== 2) {
          process.stderr.write(`sabotage ${name} does not apply to ${file}\n`);
          process.exit(99);
        }
        source = source.replace(from, () => to);
      }
      return { ...result, source };
    },
  });
}
