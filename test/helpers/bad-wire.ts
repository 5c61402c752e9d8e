/** A TCP forwarder in front of a host, as a network that delays, cuts, resets, refuses or is dead. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** So much of a chunk goes byte by byte: enough to cut all headers in it. */
const SLICED_BYTES = 24;

type Line = { readonly near: Socket; readonly far: Socket; isDead: boolean };

export class BadWire {
  /** Added to every chunk, each way. */
  delayMs = 0;
  /** 0: as fast as it goes. */
  bytesPerSecond = 0;
  /** The beginning of every chunk comes in single bytes. */
  isSlicing = false;
  /** Who comes now is thrown out at once. */
  isRefusing = false;
  acceptCount = 0;
  readonly #server: Server;
  readonly #lines = new Set<Line>();
  readonly #targetPort: number;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((near) => this.#onConnection(near));
  }

  static async start(targetPort: number): Promise<BadWire> {
    const wire = new BadWire(targetPort);
    await new Promise<void>((resolve) => wire.#server.listen(0, '127.0.0.1', resolve));
    return wire;
  }

  get hostname(): string {
    return `localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  /** All connections end with RST. */
  reset(): void {
    for (const { near } of this.#lines) near.resetAndDestroy();
  }

  /** All connections of now are half-open for good: nothing comes through, and nobody is told. */
  goDead(): void {
    for (const line of this.#lines) {
      line.isDead = true;
      line.far.destroy();
    }
  }

  async stop(): Promise<void> {
    for (const { near, far } of this.#lines) {
      near.destroy();
      far.destroy();
    }
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #onConnection(near: Socket): void {
    this.acceptCount++;
    near.on('error', () => {});
    if (this.isRefusing) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(this.#targetPort, '127.0.0.1');
    far.on('error', () => {});
    const line = { near, far, isDead: false };
    this.#lines.add(line);
    near.setNoDelay().once('close', () => {
      this.#lines.delete(line);
      far.destroy();
    });
    far.once('close', () => {
      if (!line.isDead) near.destroy();
    });
    void this.#forward(line, near, far);
    void this.#forward(line, far, near);
  }

  async #forward(line: Line, from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        if (line.isDead) continue;
        if (this.delayMs > 0) await wait(this.delayMs);
        if (this.bytesPerSecond > 0) await wait((chunk.length / this.bytesPerSecond) * 1000);
        let sent = 0;
        for (; this.isSlicing && sent < Math.min(SLICED_BYTES, chunk.length); sent++) {
          to.write(chunk.subarray(sent, sent + 1));
          await new Promise((resolve) => setImmediate(resolve));
        }
        if (line.isDead || to.destroyed) continue;
        if (!to.write(chunk.subarray(sent))) await drained(to);
      }
      if (!line.isDead) to.end();
    } catch {
      // One of the two is gone; the other one follows.
    }
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve).once('close', resolve);
  });
}
