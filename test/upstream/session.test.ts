/** What three real hosts sent, over real sockets, through a ring that is full now and then. */
import t from 'tap';
import { readSessionFrames } from '../helpers/real-session.ts';
import { Harness, hostOf, startPds } from './harness.ts';
import { burst, until } from './pds.ts';

t.test(
  'SQ-14, G3: every frame of a recorded session arrives once, in order, with nothing rejected',
  async (t) => {
    const h = new Harness(t);
    const sent = readSessionFrames();
    const hostIds = [...new Set(sent.map(({ hostIndex }) => hostIndex + 1))];
    for (const hostId of hostIds) {
      const frames = sent.filter(({ hostIndex }) => hostIndex + 1 === hostId);
      const pds = await startPds(t, {
        onConnection: ({ socket, cursor }) => {
          t.equal(cursor, '0');
          for (let at = 0; at < frames.length; at += 50) {
            socket.write(burst(frames.slice(at, at + 50).map(({ bytes }) => bytes)));
          }
        },
      });
      h.fleet.add(hostOf(pds, { hostId, cursor: 0 }));
    }
    for (let room = 0; h.sink.taken.length < sent.length && room < 500; room++) {
      h.sink.roomLeft = room % 7 === 0 ? 0 : 40;
      await h.pass(10);
    }
    await until(() => h.sink.taken.length === sent.length);
    t.ok(h.sink.refusals > 10, `the ring was full ${h.sink.refusals} times`);
    for (const hostId of hostIds) {
      const seqs = h.sink.seqs(hostId);
      t.equal(seqs.length, sent.filter(({ hostIndex }) => hostIndex + 1 === hostId).length);
      t.ok(seqs.every((seq, index) => index === 0 || seq > (seqs[index - 1] ?? 0)));
      t.match(h.stats(hostId), { connects: 1, strikes: 0, lastRejects: [], lastSeq: seqs.at(-1) });
    }
    t.ok(h.sink.taken.every(({ did }) => /^did:(plc:[a-z2-7]{24}|web:.+)$/.test(did)));
  },
);
