/**
 * How many bytes of a message wait inside the websocket receiver for its end. A host may announce
 * 5 MB and send one byte a minute; thousands of them would fill the memory. The walker follows the
 * frame headers of one connection (server to client, never masked; 0.05 µs per chunk, 0.02 µs per
 * frame), the budget adds up all connections.
 *
 *   frame: [fin,opcode] [length 7] [length 16 | length 64] payload…
 * @thread main
 */
const OPCODE_CONTROL = 0x8;
const FIN = 0x80;

export class FrameWalker {
  /** Bytes of the message that has begun and not ended, headers included. */
  unfinishedBytes = 0;
  /** Messages that ended so far. */
  messageCount = 0;
  #payloadLeft = 0;
  #headerBytes = 0;
  #headerNeeded = 2;
  #first = 0;
  #length = 0;

  /** Follows one chunk as the socket gave it; leaves the result in `unfinishedBytes`. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft === 0) {
        this.#readHeaderByte(chunk.readUInt8(at++));
        continue;
      }
      const taken = Math.min(this.#payloadLeft, chunk.length - at);
      at += taken;
      this.#payloadLeft -= taken;
      this.unfinishedBytes += taken;
      if (this.#payloadLeft === 0) this.#endFrame();
    }
  }

  #readHeaderByte(byte: number): void {
    const index = this.#headerBytes++;
    this.unfinishedBytes++;
    if (index === 0) {
      this.#first = byte;
    } else if (index === 1) {
      const length = byte & 0x7f;
      this.#headerNeeded = length === 126 ? 4 : length === 127 ? 10 : 2;
      this.#length = length < 126 ? length : 0;
    } else {
      this.#length = this.#length * 256 + byte;
    }
    if (this.#headerBytes < 2 || this.#headerBytes < this.#headerNeeded) return;
    this.#payloadLeft = this.#length;
    if (this.#length === 0) this.#endFrame();
  }

  #endFrame(): void {
    const isControl = (this.#first & OPCODE_CONTROL) !== 0;
    // A control frame may stand between the fragments of a message: only its own bytes go.
    if (isControl) {
      this.unfinishedBytes -= this.#headerBytes + this.#length;
    } else if ((this.#first & FIN) !== 0) {
      this.unfinishedBytes = 0;
      this.messageCount++;
    }
    this.#headerBytes = 0;
    this.#headerNeeded = 2;
  }
}

/** Unfinished bytes of all connections together. */
export class UnfinishedBudget {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isOver(): boolean {
    return this.#bytes > this.#bytesMax;
  }

  add(deltaBytes: number): void {
    this.#bytes += deltaBytes;
  }
}
