import { encode } from '@atcute/cbor';
import t from 'tap';
import { isRecordCbor } from '../../lib/repo/record.ts';

function isRecord(hex: string): boolean {
  const bytes = Buffer.from(`aa${hex}bb`, 'hex');
  return isRecordCbor(bytes, 1, bytes.length - 1);
}

t.test('H120, H121: whatever is CBOR passes', async (t) => {
  const rows = {
    'a map': 'a0',
    'a text': '6161',
    'float64 0.0': 'fb0000000000000000',
    'float64 NaN': 'fb7ff8000000000000',
    float32: 'fa47c35000',
    float16: 'f93c00',
    undefined: 'f7',
    'an empty key': 'a16000',
    'keys out of order': 'a2616200616100',
    'a key twice': 'a2616100616100',
    'a number as key': 'a10000',
    'not in shortest form': '1801',
    'bad UTF-8': '62c328',
    'a sha-512 link': `d82a584500017113${'40'.repeat(65)}`,
    'tag 1': 'c100',
    'nested 100 deep': `${'81'.repeat(100)}80`,
    '2^64-1': '1bffffffffffffffff',
  };
  for (const [name, hex] of Object.entries(rows)) t.ok(isRecord(hex), name);
  t.ok(isRecord(Buffer.from(encode({ a: [1, 'two', { b: null }] })).toString('hex')));
});

t.test('H122: what is no CBOR, or not one item, does not', async (t) => {
  const rows = {
    nothing: '',
    'a byte more': 'a000',
    'a map without its value': 'a16161',
    'a text cut short': '626',
    'an array cut short': '820000'.slice(0, 4),
    'indefinite array': '9fff',
    'indefinite text': '7f6161ff',
    break: 'ff',
    reserved: '1c',
    'a head cut short': '19ff',
    'text of 4 GiB': '7affffffff',
    'array of 2^63': '9b8000000000000000',
    'map of 2^32': 'bb0000000100000000',
    'a tag alone': 'd82a',
    JSON: Buffer.from('{"a":1}').toString('hex'),
  };
  for (const [name, hex] of Object.entries(rows)) t.notOk(isRecord(hex), name);
});

/** The verdict, and whether each byte of the block was read a few times at most. */
function judged(block: Buffer): { isRight: boolean; isLinear: boolean } {
  let reads = 0;
  const get = (target: Buffer, key: string | symbol): unknown => {
    reads++;
    return Reflect.get(target, key, target);
  };
  const isRight = isRecordCbor(new Proxy(block, { get }), 0, block.length);
  return { isRight, isLinear: reads > 0 && reads <= 4 * block.length };
}

t.test('LM-10, CB-11: 900,000 nested arrays and as many flat items, in linear work', async (t) => {
  const nested = Buffer.alloc(900_000, 0x81);
  t.same(judged(nested), { isRight: false, isLinear: true });
  nested.writeUInt8(0x80, nested.length - 1);
  t.same(judged(nested), { isRight: true, isLinear: true });
  const flat = Buffer.concat([Buffer.from('9a000dbba0', 'hex'), Buffer.alloc(900_000)]);
  t.same(judged(flat), { isRight: true, isLinear: true });
});
