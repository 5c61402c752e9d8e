/** S1, S3, S5, H143: which addresses and host names we would talk to. */
import t from 'tap';
import {
  type AddressKind,
  isDomainName,
  isLocalHost,
  judgeAddress,
  normalizeHost,
  originOfHost,
} from '../../lib/identity/address.ts';

const SAFE = { isInsecureAllowed: false };
const LOCAL = { isInsecureAllowed: true };

const ADDRESSES: readonly (readonly [AddressKind, readonly string[]])[] = [
  [
    'public',
    [
      '1.1.1.1',
      '8.8.8.8',
      '9.255.255.255',
      '11.0.0.0',
      '100.63.255.255',
      '100.128.0.0',
      '126.255.255.255',
      '128.0.0.0',
      '169.253.255.255',
      '169.255.0.0',
      '172.15.255.255',
      '172.32.0.0',
      '192.0.1.0',
      '192.0.3.0',
      '192.88.98.255',
      '192.88.100.0',
      '192.167.255.255',
      '192.169.0.0',
      '198.17.255.255',
      '198.20.0.0',
      '198.51.99.255',
      '198.51.101.0',
      '203.0.112.255',
      '203.0.114.0',
      '223.255.255.255',
      '2606:4700::1111',
      '2000::1',
      '2001:200::1',
      '2001:db7::1',
      '2001:db9::1',
      '2003::1',
      '2A00:1450:4001:80B::200E',
      '3ffe::1',
    ],
  ],
  ['loopback', ['127.0.0.1', '127.255.255.254', '::1', '0:0:0:0:0:0:0:1']],
  [
    'private',
    [
      '10.0.0.0',
      '10.255.255.255',
      '100.64.0.0',
      '100.127.255.255',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.0.1',
      '192.168.255.255',
      'fc00::1',
      'fd00:ec2::254',
    ],
  ],
  ['link_local', ['169.254.169.254', '169.254.0.0', 'fe80::1', 'febf::1']],
  [
    'reserved',
    [
      '0.0.0.0',
      '0.255.255.255',
      '192.0.0.1',
      '192.0.2.1',
      '192.88.99.1',
      '198.18.0.1',
      '198.19.255.255',
      '198.51.100.1',
      '203.0.113.1',
      '224.0.0.1',
      '239.255.255.255',
      '240.0.0.1',
      '255.255.255.255',
      '::',
      '::ffff:127.0.0.1',
      '::ffff:8.8.8.8',
      '::ffff:7f00:1',
      '::ffff:0:127.0.0.1',
      '::127.0.0.1',
      '::8.8.8.8',
      '64:ff9b::7f00:1',
      '64:ff9b::127.0.0.1',
      '64:ff9b:1::1',
      '100::1',
      '2001::1',
      '2001:0:7f00:1::',
      '2001:10::1',
      '2001:1ff:ffff::1',
      '2001:db8::1',
      '2002:7f00:1::',
      '2002::1',
      '3fff::1',
      '3fff:fff::1',
      '4000::1',
      '5f00::1',
      'fec0::1',
      'ff02::1',
      '1fff::1',
    ],
  ],
  [
    'not_an_address',
    [
      '',
      'localhost',
      '127.1',
      '2130706433',
      '0x7f.0.0.1',
      '0177.0.0.1',
      '127.0.0.01',
      '127.0.0.256',
      '1.2.3.4.5',
      '1.2.3',
      ' 1.1.1.1',
      '1.1.1.1 ',
      'fe80::1%eth0',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '1:2:3:4:5:6:7::8',
      ':1:2:3:4:5:6:7',
      '2606:4700::11111',
      '2606:4700::g',
      '[::1]',
      '1.2.3.4::1',
      '::1.2.3',
      '2606:4700:4700:4700:4700:4700:4700:4700:4700:4700',
    ],
  ],
];

t.test('S3: every special range, its edges and its disguises', async (t) => {
  for (const [kind, texts] of ADDRESSES) {
    for (const text of texts) t.equal(judgeAddress(text), kind, text);
  }
});

t.test('S3: a full form may fill all eight words beside `::`', async (t) => {
  t.equal(judgeAddress('2606:4700:1:2:3:4:5:6'), 'public');
  t.equal(judgeAddress('2606:4700:1:2:3:4:5::'), 'public');
});

t.test('H143: one host has one form', async (t) => {
  const spellings = [
    'pds.example.com',
    'PDS.Example.COM',
    'pds.example.com.',
    'pds.example.com:443',
    'pds.example.com.:443',
    'https://pds.example.com',
    'HTTPS://PDS.EXAMPLE.COM:443/',
    'https://pds.example.com/',
    'https://pds.example.com.:443',
  ];
  for (const text of spellings)
    t.same(normalizeHost(text, SAFE), { host: 'pds.example.com' }, text);
  t.same(normalizeHost('xn--bcher-kva.com', SAFE), { host: 'xn--bcher-kva.com' });
  t.same(normalizeHost('a.b-c.d1.io', SAFE), { host: 'a.b-c.d1.io' });
});

const REFUSED: readonly (readonly [fault: string, inputs: readonly string[]])[] = [
  ['scheme', ['ftp://a.example.com', 'http://a.example.com', 'ws://a.com', 'file:///etc/passwd']],
  ['userinfo', ['user@a.com', 'https://u:p@a.com', 'a@127.0.0.1', 'https://a.com@127.0.0.1']],
  [
    'path',
    [
      'a.com/x',
      'https://a.com/x',
      'https://a.com//',
      'https://a.com?x',
      'https://a.com/?',
      'https://a.com#x',
      'a.com\\@127.0.0.1',
      'https://127.0.0.1\\.a.com',
    ],
  ],
  [
    'port',
    [
      'a.com:80',
      'a.com:8443',
      'https://a.com:22',
      'a.com:',
      'a.com:0443',
      'a.com:x',
      'a.com:65536',
      'a.com:-1',
      'a.com:443443',
    ],
  ],
  [
    'ip_address',
    [
      '127.0.0.1',
      'https://127.0.0.1',
      'https://127.0.0.1/',
      '8.8.8.8',
      '127.1',
      '0x7f.1',
      '0x7f000001',
      '2130706433',
      '017700000001',
      '127.0.0.0x1',
      'a.0x',
      'a.1',
      '127.0.0.1.',
      '::1',
      '[::1]',
      'https://[::1]',
      'https://[::ffff:127.0.0.1]:443',
      '2606:4700::1111',
    ],
  ],
  [
    'name_bad',
    [
      '',
      '.',
      '..',
      'a..b.com',
      '.a.com',
      'a.com..',
      '-a.com',
      'a-.com',
      'a_b.com',
      'a b.com',
      ' a.com',
      'a.com\n',
      'a.com\0.evil.com',
      'a%2ecom.org',
      '①②⑦.0.0.①',
      'ａ.com',
      'bücher.de',
      'a。com',
      'a.4com',
      `${'a'.repeat(64)}.com`,
    ],
  ],
  ['single_label', ['pds', 'https://intranet', 'metadata', 'kubernetes']],
  [
    'reserved_domain',
    [
      'a.local',
      'metadata.google.internal',
      '1.0.0.127.in-addr.arpa',
      'a.onion',
      'a.test',
      'a.example',
      'a.invalid',
      'a.alt',
      'x.localhost',
      'a.svc.cluster.local',
      'A.LOCAL.',
    ],
  ],
  ['localhost', ['localhost', 'LOCALHOST', 'localhost.', 'localhost:3000', 'http://localhost:80']],
  ['too_long', [`${'a.'.repeat(126)}com`, 'x'.repeat(513), `https://${'a'.repeat(5000)}.com`]],
];

t.test('S1, S5: everything else is refused, with its reason', async (t) => {
  for (const [fault, inputs] of REFUSED) {
    for (const input of inputs) {
      t.same(normalizeHost(input, SAFE), { fault }, JSON.stringify(input.slice(0, 60)));
    }
  }
});

t.test('S1: no accepted host is anything else to the URL parser', async (t) => {
  const all = REFUSED.flatMap(([, inputs]) => inputs);
  for (const input of all) t.equal(normalizeHost(input, SAFE).host, undefined);
  t.equal(
    new URL('https://0x7f.1').hostname,
    '127.0.0.1',
    'why names are not judged by shape alone',
  );
  t.equal(new URL('https://①②⑦.0.0.1').hostname, '127.0.0.1');
});

t.test('localhost with a port is a host in insecure mode, and nothing else local is', async (t) => {
  t.same(normalizeHost('localhost:3000', LOCAL), { host: 'localhost:3000' });
  t.same(normalizeHost('http://LOCALHOST.:3000/', LOCAL), { host: 'localhost:3000' });
  t.same(normalizeHost('http://localhost:80', LOCAL), { host: 'localhost:80' });
  t.same(normalizeHost('localhost', LOCAL), { fault: 'port' });
  t.same(normalizeHost('https://localhost:3000', LOCAL), { fault: 'scheme' });
  t.same(normalizeHost('http://localhost:3000/x', LOCAL), { fault: 'path' });
  t.same(normalizeHost('127.0.0.1:3000', LOCAL), { fault: 'ip_address' });
  t.same(normalizeHost('[::1]:3000', LOCAL), { fault: 'ip_address' });
  t.same(normalizeHost('x.localhost:3000', LOCAL), { fault: 'reserved_domain' });
  t.same(normalizeHost('a.com:3000', LOCAL), { fault: 'port' });
  t.same(normalizeHost('http://a.com', LOCAL), { fault: 'scheme' });
});

t.test('a normal form says how it is spoken to', async (t) => {
  t.equal(originOfHost('pds.example.com'), 'https://pds.example.com');
  t.equal(originOfHost('localhost:3000'), 'http://localhost:3000');
  t.equal(isLocalHost('localhost.example.com'), false);
  t.equal(isLocalHost('localhost:1'), true);
});

t.test('domain names are judged in linear time', async (t) => {
  t.equal(isDomainName('alice.example.com'), true);
  t.equal(isDomainName('Alice.example.com'), false);
  t.equal(isDomainName('com'), false);
  t.equal(isDomainName(`${'a-'.repeat(120)}.c`), false);
  t.equal(isDomainName(`${'a.'.repeat(125)}com`), true);
});
