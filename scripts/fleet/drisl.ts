/**
 * A canonical DRISL writer for what the fleet sends. Written apart from `lib/wire`, so that the
 * two check each other. Map keys are written in the order given: callers give it right, or wrong
 * on purpose.
 */
export class DrislWriter {
  #bytes = Buffer.allocUnsafe(4096);
  #used = 0;

  /** The bytes written so far, as a buffer of their own. */
  done(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#used));
  }

  map(entryCount: number): this {
    return this.#head(0xa0, entryCount);
  }

  array(itemCount: number): this {
    return this.#head(0x80, itemCount);
  }

  text(text: string): this {
    const bytes = Buffer.byteLength(text, 'utf8');
    this.#head(0x60, bytes);
    this.#reserve(bytes);
    this.#used += this.#bytes.write(text, this.#used, 'utf8');
    return this;
  }

  bytes(bytes: Uint8Array): this {
    this.#head(0x40, bytes.length);
    return this.raw(bytes);
  }

  /** An integer of at most 53 bits. */
  integer(value: number): this {
    return value < 0 ? this.#head(0x20, -1 - value) : this.#head(0x00, value);
  }

  bool(value: boolean): this {
    return this.#byte(value ? 0xf5 : 0xf4);
  }

  null(): this {
    return this.#byte(0xf6);
  }

  /** Tag 42 over a CID given as 36 latin1 characters; null for null. */
  link(cid: string | null): this {
    if (cid === null) return this.null();
    this.#reserve(41);
    this.#used += this.#bytes.write('\xd8\x2a\x58\x25\x00', this.#used, 'latin1');
    this.#used += this.#bytes.write(cid, this.#used, 'latin1');
    return this;
  }

  /** Bytes that are DRISL already. */
  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#used);
    this.#used += bytes.length;
    return this;
  }

  #byte(byte: number): this {
    this.#reserve(1);
    this.#bytes[this.#used++] = byte;
    return this;
  }

  #head(major: number, argument: number): this {
    this.#reserve(9);
    const bytes = this.#bytes;
    const at = this.#used;
    if (argument < 24) this.#used = bytes.writeUInt8(major | argument, at);
    else if (argument < 2 ** 8) {
      bytes.writeUInt8(major | 24, at);
      this.#used = bytes.writeUInt8(argument, at + 1);
    } else if (argument < 2 ** 16) {
      bytes.writeUInt8(major | 25, at);
      this.#used = bytes.writeUInt16BE(argument, at + 1);
    } else if (argument < 2 ** 32) {
      bytes.writeUInt8(major | 26, at);
      this.#used = bytes.writeUInt32BE(argument, at + 1);
    } else {
      bytes.writeUInt8(major | 27, at);
      this.#used = bytes.writeBigUInt64BE(BigInt(argument), at + 1);
    }
    return this;
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(2 * (this.#used + bytes));
    larger.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = larger;
  }
}
