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
  secondsBehind(consumer: Consumer): Promise<number | undefined>;
};

/** Looks into the log per request; of consumers beyond these the lag in seconds is not told. */
const LOOKS_MAX = 200;

export function adminConsumerRoutes(hub: ConsumerList): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/admin/consumers/list',
      handle: async () => {
        const headSeq = hub.headSeq();
        const seconds = await lagsOf(hub, headSeq);
        const rows = Array.from(hub.consumers, (consumer) => {
          return { ...consumerJson(consumer, headSeq), lag_seconds: seconds.get(consumer) ?? null };
        });
        return ok(rows);
      },
    },
  ];
}

/** One look per place in the log, however many consumers stand there. */
async function lagsOf(hub: ConsumerList, headSeq: number): Promise<Map<Consumer, number>> {
  const bySeq = new Map<number, number | undefined>();
  const seconds = new Map<Consumer, number>();
  let looks = 0;
  for (const consumer of [...hub.consumers]) {
    const { seq } = consumer;
    if (!bySeq.has(seq) && (seq >= headSeq || looks++ < LOOKS_MAX)) {
      bySeq.set(seq, await hub.secondsBehind(consumer));
    }
    const own = bySeq.get(seq);
    if (own !== undefined) seconds.set(consumer, own);
  }
  return seconds;
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
    bytes_sent: consumer.bytesSent,
    waiting_bytes: consumer.waitingBytes,
  };
}
