/** Takes a CAR of the fleet's apart, so that a test can put it together in another way. */
import type { Block } from '../../scripts/fleet/signed-repo.ts';

function readVarint(bytes: Buffer, start: number): [value: number, end: number] {
  let value = 0;
  for (let at = start, scale = 1; ; at++, scale *= 128) {
    const byte = bytes.readUInt8(at);
    value += (byte & 127) * scale;
    if (byte < 128) return [value, at + 1];
  }
}

/** The blocks in order; the header is skipped. */
export function blocksOf(car: Buffer): Block[] {
  const blocks: Block[] = [];
  const [headerBytes, headerAt] = readVarint(car, 0);
  for (let at = headerAt + headerBytes; at < car.length; ) {
    const [bytes, start] = readVarint(car, at);
    at = start + bytes;
    blocks.push({
      cid: car.toString('latin1', start, start + 36),
      bytes: car.subarray(start + 36, at),
    });
  }
  return blocks;
}
