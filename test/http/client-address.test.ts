import type { IncomingMessage } from 'node:http';
import t from 'tap';
import { ClientAddress } from '../../lib/http/client-address.ts';

function request(
  remoteAddress: string | undefined,
  forwarded?: string | string[],
): IncomingMessage {
  return { socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } } as never;
}

t.test(
  'S14: X-Forwarded-For counts only behind a trusted proxy, right-most untrusted hop',
  async (t) => {
    const addresses = new ClientAddress(['10.0.0.0/8', '192.0.2.1', '2001:db8:1::/48']);
    type Row = readonly [remote: string | undefined, forwarded: string | undefined, client: string];
    const table: readonly Row[] = [
      ['198.51.100.1', undefined, '198.51.100.1'],
      ['198.51.100.1', '1.2.3.4', '198.51.100.1'],
      ['10.1.1.1', undefined, '10.1.1.1'],
      ['10.1.1.1', '1.2.3.4', '1.2.3.4'],
      ['::ffff:10.1.1.1', '1.2.3.4', '1.2.3.4'],
      ['10.1.1.1', '::ffff:1.2.3.4', '1.2.3.4'],
      ['10.1.1.1', '6.6.6.6, 1.2.3.4', '1.2.3.4'],
      ['10.1.1.1', '6.6.6.6, 1.2.3.4, 10.2.2.2', '1.2.3.4'],
      ['10.1.1.1', '6.6.6.6,1.2.3.4,192.0.2.1,10.2.2.2', '1.2.3.4'],
      ['10.1.1.1', '10.3.3.3, 10.2.2.2', '10.3.3.3'],
      ['2001:db8:1::5', '2001:db8:2::9', '2001:db8:2::9'],
      ['10.1.1.1', 'rubbish', '10.1.1.1'],
      ['10.1.1.1', '6.6.6.6, rubbish', '10.1.1.1'],
      ['10.1.1.1', '6.6.6.6, rubbish, 10.2.2.2', '10.2.2.2'],
      ['10.1.1.1', '', '10.1.1.1'],
      ['10.1.1.1', ',', '10.1.1.1'],
      ['10.1.1.1', '1.2.3.4:5678', '10.1.1.1'],
      ['10.1.1.1', Array(40).fill('10.2.2.2').join(','), '10.2.2.2'],
      [undefined, '1.2.3.4', ''],
    ];
    for (const [remote, forwarded, client] of table) {
      t.equal(
        addresses.of(request(remote, forwarded)),
        client,
        `${remote} ${forwarded?.slice(0, 40)}`,
      );
    }
    const none = new ClientAddress([]);
    t.equal(none.of(request('127.0.0.1', '1.2.3.4')), '127.0.0.1');
    t.throws(() => new ClientAddress(['not-an-address']));
    t.throws(() => new ClientAddress(['10.0.0.0/99']));
  },
);
