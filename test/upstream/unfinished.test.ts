import fc from 'fast-check';
import t from 'tap';
import { FrameWalker, UnfinishedBudget } from '../../lib/upstream/unfinished.ts';

type Frame = { readonly isFin: boolean; readonly opcode: number; readonly bytes: number };

/** A server's frame, not masked, with a length in its shortest form. */
function encode({ isFin, opcode, bytes }: Frame): Buffer {
  const first = (isFin ? 0x80 : 0) | opcode;
  const payload = Buffer.alloc(bytes, 0xff);
  if (bytes < 126) return Buffer.concat([Buffer.from([first, bytes]), payload]);
  const header = Buffer.alloc(bytes <= 0xffff ? 4 : 10);
  header.writeUInt8(first, 0);
  header.writeUInt8(bytes <= 0xffff ? 126 : 127, 1);
  if (bytes <= 0xffff) header.writeUInt16BE(bytes, 2);
  else header.writeBigUInt64BE(BigInt(bytes), 2);
  return Buffer.concat([header, payload]);
}

const size = fc.oneof(fc.constantFrom(0, 1, 125, 126, 127, 0xffff, 0x10000), fc.nat(300));
const control: fc.Arbitrary<Frame> = fc.record({
  isFin: fc.constant(true),
  opcode: fc.constantFrom(9, 10),
  bytes: fc.nat(125),
});
/** A message of one or more fragments with control frames between them. */
const message: fc.Arbitrary<Frame[]> = fc
  .tuple(fc.array(size, { minLength: 1, maxLength: 4 }), fc.array(control, { maxLength: 2 }))
  .map(([sizes, controls]) =>
    sizes.flatMap((bytes, i) => [
      { isFin: i === sizes.length - 1, opcode: i === 0 ? 2 : 0, bytes },
      ...(i < sizes.length - 1 ? controls : []),
    ]),
  );

t.test('G26 property: unfinished bytes are exact after each byte, however it is cut', async () => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 20 }),
      (messages, cuts) => {
        const walker = new FrameWalker();
        const bytes = Buffer.concat(messages.flat().map(encode));
        for (let at = 0, cut = 0; at < bytes.length; cut++) {
          const end = Math.min(bytes.length, at + (cuts[cut % cuts.length] ?? 1));
          walker.push(bytes.subarray(at, end));
          at = end;
          if (walker.unfinishedBytes !== modelOf(messages, at)) return false;
        }
        return walker.unfinishedBytes === 0 && walker.messageCount === messages.length;
      },
    ),
    { numRuns: 300 },
  );
});

/** Bytes of the message under way after `total` bytes, whole control frames left out. */
function modelOf(messages: readonly Frame[][], total: number): number {
  let left = total;
  for (const frames of messages) {
    let unfinished = 0;
    for (const frame of frames) {
      const bytes = encode(frame).length;
      if (left < bytes) return unfinished + left;
      left -= bytes;
      if (frame.opcode < 8) unfinished += bytes;
    }
    if (left === 0) return 0;
  }
  return 0;
}

t.test('a ping between fragments does not end the message', async (t) => {
  const walker = new FrameWalker();
  walker.push(encode({ isFin: false, opcode: 2, bytes: 100 }));
  walker.push(encode({ isFin: true, opcode: 9, bytes: 5 }));
  t.equal(walker.unfinishedBytes, 102);
  t.equal(walker.messageCount, 0);
});

t.test('the budget adds up connections', async (t) => {
  const budget = new UnfinishedBudget(100);
  budget.add(60);
  budget.add(40);
  t.notOk(budget.isOver);
  budget.add(1);
  t.ok(budget.isOver);
  budget.add(-60);
  t.notOk(budget.isOver);
});
