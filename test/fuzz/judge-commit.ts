/** The rules of the CAR and of the signed commit in it (spec §1.6…§1.8, §5.4, §5.5). */
import type { FuzzInput } from './input.ts';
import type { JudgeOptions } from './judge.ts';
import { isDrislCid, type Message, strictItem } from './judge-message.ts';
import type { Library, Value } from './library.ts';
import { asked, askedLater, refuseUnless } from './refusal.ts';

export type OpenedCommit = {
  /** First root of the CAR, and CID of the commit. */
  readonly rootCid: string;
  readonly dataCid: string;
  readonly blocks: ReadonlyMap<string, Uint8Array>;
};

const CID_BYTES = 36;
const SIGNATURE_BYTES = 64;
const VARINT_BYTES_MAX = 8;
const CID_PREFIXES = ['\x01\x71\x12\x20', '\x01\x55\x12\x20'];

type Section = { readonly start: number; readonly end: number };

/** The CAR read, every block hashed, the commit in it signed and saying what the message says. */
export async function openCommit(
  library: Library,
  message: Message,
  { key }: FuzzInput,
  verify: JudgeOptions['verify'],
): Promise<OpenedCommit> {
  const car = Buffer.from(message.blocks);
  checkLayout(library, car);
  const { roots, blocks } = await askedLater('CA-1', () => library.readCar(car));
  const [rootCid] = roots;
  refuseUnless(isDrislCid(rootCid), 'CA-2', 'no root');
  const block = blocks.get(rootCid);
  refuseUnless(block !== undefined, 'CA-2', 'no commit block');
  const commit = strictItem(library, block, 'CM-2') as Readonly<Record<string, Value>> | null;
  const isMap = typeof commit === 'object' && commit !== null && !Array.isArray(commit);
  refuseUnless(isMap, 'CM-1', 'commit is no map');
  const { sig, ...unsigned } = commit;
  refuseUnless(commit['version'] === 3, 'CM-1', 'version');
  const dataCid = library.linkOf(commit['data']);
  refuseUnless(isDrislCid(dataCid), 'CD-4', 'data');
  const prev = commit['prev'];
  refuseUnless(prev === null || isDrislCid(library.linkOf(prev)), 'CM-1', 'prev');
  refuseUnless(commit['did'] === message.did, 'CM-5', 'did');
  refuseUnless(commit['rev'] === message.rev, 'CM-5', 'rev');
  const signature = library.bytesOf(sig);
  refuseUnless(signature?.length === SIGNATURE_BYTES, 'SG-2', 'sig');
  const signed = asked('CM-2', () => library.encode(unsigned));
  const isSigned = await askedLater('SG-3', async () => verify(key, signed, signature));
  refuseUnless(isSigned, 'SG-3', 'signature');
  return { rootCid, dataCid, blocks };
}

/**
 * The CAR by its lengths (CA-1, H62, H69, H70): libraries take varints that are not the shortest
 * and blocks that are cut off.
 */
function checkLayout(library: Library, car: Buffer): void {
  const header = section(car, 0);
  refuseUnless(header.end > header.start, 'CA-1', 'no header');
  const value = strictItem(library, car.subarray(header.start, header.end), 'CA-1');
  const isMap = typeof value === 'object' && value !== null;
  refuseUnless(isMap && (value as { version: Value }).version === 1, 'CA-1', 'version');
  for (let at = header.end; at < car.length; ) {
    const { start, end } = section(car, at);
    refuseUnless(end - start >= CID_BYTES, 'CA-1', 'block shorter than a CID');
    const prefix = car.latin1Slice(start, start + 4);
    refuseUnless(CID_PREFIXES.includes(prefix), 'CD-1', 'CID of a block');
    at = end;
  }
}

function section(car: Buffer, at: number): Section {
  let length = 0n;
  for (let i = 0; i < VARINT_BYTES_MAX; i++) {
    const byte = car[at + i];
    refuseUnless(byte !== undefined, 'CA-1', 'varint cut off');
    length |= BigInt(byte & 127) << BigInt(7 * i);
    if (byte >= 128) continue;
    refuseUnless(byte > 0 || i === 0, 'CA-1', 'varint not the shortest');
    const start = at + i + 1;
    refuseUnless(length <= BigInt(car.length - start), 'CA-1', 'section cut off');
    return { start, end: start + Number(length) };
  }
  refuseUnless(false, 'CA-1', 'varint too long');
}
