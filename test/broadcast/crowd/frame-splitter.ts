/** Websocket frames out of what a server sends, whole ones only, in memory of their own size. */
export type OnFrame = (opcode: number, payload: Buffer) => void;

const HEADER_BYTES_MAX = 10;

export class FrameSplitter {
  readonly #onFrame: OnFrame;
  readonly #header = Buffer.alloc(HEADER_BYTES_MAX);
  #headerBytes = 0;
  #payload: Buffer | undefined;
  #payloadBytes = 0;

  constructor(onFrame: OnFrame) {
    this.#onFrame = onFrame;
  }

  /** Throws where framing is broken: that is what a client would call a protocol error. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length)
      at = this.#payload === undefined ? this.#begin(chunk, at) : this.#fill(chunk, at);
  }

  #begin(chunk: Buffer, at: number): number {
    if (this.#headerBytes === 0) {
      // Most frames are in one chunk.
      const length = headerLength(chunk, at, chunk.length - at);
      const bytes = length > 0 ? payloadLength(chunk, at) : 0;
      if (length > 0 && at + length + bytes <= chunk.length) {
        const payload = chunk.subarray(at + length, at + length + bytes);
        this.#onFrame(opcodeOf(chunk.readUInt8(at)), payload);
        return at + length + bytes;
      }
    }
    this.#header.writeUInt8(chunk.readUInt8(at), this.#headerBytes++);
    if (headerLength(this.#header, 0, this.#headerBytes) === this.#headerBytes) {
      this.#payload = Buffer.allocUnsafe(payloadLength(this.#header, 0));
      this.#payloadBytes = 0;
      if (this.#payload.length === 0) this.#end();
    }
    return at + 1;
  }

  #fill(chunk: Buffer, at: number): number {
    const payload = this.#payload as Buffer;
    const copied = chunk.copy(payload, this.#payloadBytes, at);
    this.#payloadBytes += copied;
    if (this.#payloadBytes === payload.length) this.#end();
    return at + copied;
  }

  #end(): void {
    const payload = this.#payload as Buffer;
    this.#payload = undefined;
    this.#headerBytes = 0;
    this.#onFrame(opcodeOf(this.#header.readUInt8(0)), payload);
  }
}

function opcodeOf(first: number): number {
  if ((first & 0xf0) !== 0x80) throw new Error(`protocol error: frame begins with ${first}`);
  return first & 15;
}

/** 0 where that cannot be told yet. */
function headerLength(bytes: Buffer, at: number, known: number): number {
  if (known < 2) return 0;
  const short = bytes.readUInt8(at + 1);
  if (short > 127) throw new Error('protocol error: a masked frame of a server');
  const length = short < 126 ? 2 : short === 126 ? 4 : 10;
  return known < length ? 0 : length;
}

function payloadLength(bytes: Buffer, at: number): number {
  const short = bytes.readUInt8(at + 1);
  if (short < 126) return short;
  if (short === 126) return bytes.readUInt16BE(at + 2);
  return Number(bytes.readBigUInt64BE(at + 2));
}
