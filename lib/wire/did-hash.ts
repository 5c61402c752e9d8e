/**
 * A 64-bit hash of a DID, as two 32-bit lanes. It chooses the shard and stands in the log beside
 * each frame, so its values are part of the log format and never change. Not for security: who
 * chooses DIDs can make two collide, so an equal hash only ever pre-selects.
 * @thread any
 */
export type DidHash = { lo: number; hi: number };

const LANE_LO = 0xdeadbeef;
const LANE_HI = 0x41c6ce57;
const FACTOR_LO = 2654435761;
const FACTOR_HI = 1597334677;

/** Hashes bytes [start, end) into `out`, both halves unsigned. */
export function didHash(buf: Uint8Array, start: number, end: number, out: DidHash): void {
  let lo = LANE_LO;
  let hi = LANE_HI;
  for (let at = start; at < end; at++) {
    const byte = buf[at] as number;
    lo = Math.imul(lo ^ byte, FACTOR_LO);
    hi = Math.imul(hi ^ byte, FACTOR_HI);
  }
  finish(lo, hi, out);
}

/** The hash of the UTF-8 bytes of `did`, without making them for an ASCII one. */
export function didHashOfText(did: string, out: DidHash): void {
  let lo = LANE_LO;
  let hi = LANE_HI;
  for (let i = 0; i < did.length; i++) {
    const code = did.charCodeAt(i);
    if (code > 0x7f) {
      const bytes = Buffer.from(did, 'utf8');
      didHash(bytes, 0, bytes.length, out);
      return;
    }
    lo = Math.imul(lo ^ code, FACTOR_LO);
    hi = Math.imul(hi ^ code, FACTOR_HI);
  }
  finish(lo, hi, out);
}

/** Mixes the lanes into each other, so that every input bit reaches every output bit. */
function finish(laneLo: number, laneHi: number, out: DidHash): void {
  let lo = Math.imul(laneLo ^ (laneLo >>> 16), 2246822507);
  lo ^= Math.imul(laneHi ^ (laneHi >>> 13), 3266489909);
  let hi = Math.imul(laneHi ^ (laneHi >>> 16), 2246822507);
  hi ^= Math.imul(lo ^ (lo >>> 13), 3266489909);
  lo = Math.imul(lo ^ (lo >>> 15), 2246822507);
  lo = Math.imul(lo ^ (lo >>> 13), 3266489909);
  out.lo = (lo ^ (lo >>> 16)) >>> 0;
  out.hi = (hi ^ (hi >>> 16)) >>> 0;
}

/** The shard of an account, 0 … shardCount - 1: the high bits of `lo`, scaled. */
export function shardOf(lo: number, shardCount: number): number {
  return Math.floor((lo / 2 ** 32) * shardCount);
}
