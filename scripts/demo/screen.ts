/**
 * Where the demo writes: one line that is drawn over itself on a terminal, plain lines elsewhere.
 * Says when nobody reads any more; never throws.
 */
import type { WriteStream } from 'node:tty';

const CLEAR = '\r\x1b[K';
const COLUMNS_DEFAULT = 80;

export class Screen {
  readonly isLive: boolean;
  /** The reader of our output is gone. */
  isClosed = false;
  onClose: () => void = () => {};
  readonly #out: WriteStream;
  #hasLine = false;

  constructor(out: WriteStream) {
    this.#out = out;
    this.isLive = out.isTTY === true && process.env['TERM'] !== 'dumb';
    out.on('error', () => {
      if (this.isClosed) return;
      this.isClosed = true;
      this.onClose();
    });
  }

  /** A line that stays. */
  print(line = ''): void {
    this.#write(`${this.#hasLine ? CLEAR : ''}${line}\n`);
    this.#hasLine = false;
  }

  /** What is going on now: takes the place of the last one on a terminal. */
  show(line: string): void {
    if (!this.isLive) {
      this.print(line);
      return;
    }
    const columns = this.#out.columns || COLUMNS_DEFAULT;
    this.#write(`${CLEAR}${line.slice(0, columns - 1)}`);
    this.#hasLine = true;
  }

  #write(text: string): void {
    if (!this.isClosed) this.#out.write(text);
  }
}
