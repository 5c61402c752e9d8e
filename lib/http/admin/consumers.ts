/**
 * Admin route about consumers: consumers/list, the reference relay's fields first.
 * @thread main
 */
import { isoTime } from '../../base/clock.ts';
import type { Consumer } from '../../broadcast/consumer.ts';
import { ok } from '../answer.ts';
import type { Route } from '../route.ts';

export type ConsumerList = {
  readonly consumers: Iterable<Consumer>;
  headSeq(): number;
};

export function adminConsumerRoutes(hub: ConsumerList): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/admin/consumers/list',
      handle: () => {
        const headSeq = hub.headSeq();
        return ok(Array.from(hub.consumers, (consumer) => consumerJson(consumer, headSeq)));
      },
    },
  ];
}

function consumerJson(consumer: Consumer, headSeq: number): object {
  const { id, address, userAgent, connectedMs } = consumer.info;
  return {
    id,
    remote_addr: address,
    user_agent: userAgent,
    events_consumed: consumer.framesSent,
    connected_at: isoTime(connectedMs),
    // Not in the reference relay: where it stands, and whether it takes what it is sent.
    seq: consumer.seq,
    lag: headSeq - consumer.seq,
    waiting_bytes: consumer.waitingBytes,
  };
}
