/** Many consumers in a process of their own, each with its habits; each checks what it gets. */
import { connect, type Socket } from 'node:net';
import { constants, setPriority } from 'node:os';
import { clientFrame, handshake } from '../world.ts';
import { machineMs, readEvent } from './event.ts';
import { FrameSplitter } from './frame-splitter.ts';
import { HABITS, type Habit } from './habits.ts';

export type CrowdOrder =
  | {
      readonly kind: 'open';
      readonly port: number;
      readonly habit: Habit;
      readonly count: number;
      readonly query?: string;
    }
  | { readonly kind: 'measure' }
  | { readonly kind: 'report' }
  /** From now on they take all there is: one that does not read does not see its end either. */
  | { readonly kind: 'wake'; readonly habits: readonly Habit[] }
  | { readonly kind: 'leave'; readonly habits: readonly Habit[] };

export type GroupReport = {
  readonly count: number;
  /** Not ended, neither by us nor by the relay. */
  readonly open: number;
  readonly events: number;
  readonly bytes: number;
  readonly firstSeq: number;
  readonly lastSeqMin: number;
  readonly problems: readonly string[];
  /** Ends by the relay: told `ConsumerTooSlow` and closed, or reset. */
  readonly told: number;
  readonly resets: number;
  readonly pongs: number;
  readonly pings: number;
  /** From the making of an event to its arrival, since `measure`. */
  readonly delayMsP50: number;
  readonly delayMsP99: number;
  readonly delayMsMax: number;
};

const HEAD_END = '\r\n\r\n';
const SMALL_READ_BYTES = 1024;
const LARGE_READ_BYTES = 64 * 1024;
const TRICKLE_MS = 1000;
const BURST_MS = 1000;
const LULL_MS = 3000;
const CHAT_MS = 1000;
const PING_MS = 50;
const OP_CLOSE = 8;
const OP_PING = 9;
const OP_PONG = 10;
const PROBLEMS_MAX = 5;

/** One consumer: reads by its habit, and checks order, framing and how it is ended. */
class Reader {
  readonly habit: Habit;
  readonly problems: string[] = [];
  readonly #socket: Socket;
  readonly #splitter: FrameSplitter;
  readonly #timers: NodeJS.Timeout[] = [];
  firstSeq = 0;
  lastSeq = 0;
  events = 0;
  bytes = 0;
  isTold = false;
  isReset = false;
  isGone = false;
  pongs = 0;
  pings = 0;
  #isLeaving = false;
  #isClosed = false;
  #isAwake = false;
  #isOpen = false;
  #isReading = true;
  #head = '';

  constructor(port: number, habit: Habit, query: string, onOpen: () => void) {
    this.habit = habit;
    this.#splitter = new FrameSplitter((opcode, payload) => this.#onFrame(opcode, payload));
    const isSmall = habit === 'trickle' || habit === 'chatty';
    const buffer = Buffer.allocUnsafeSlow(isSmall ? SMALL_READ_BYTES : LARGE_READ_BYTES);
    this.#socket = connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer,
        callback: (bytes: number) => {
          this.#onBytes(buffer.subarray(0, bytes), onOpen);
          return this.#isReading;
        },
      },
    });
    this.#socket.on('connect', () => this.#socket.write(handshake(query)));
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') this.isReset = true;
      else this.#note(`socket: ${error.message}`);
    });
    this.#socket.on('close', () => this.#onClose());
  }

  leave(): void {
    this.#isLeaving = true;
    this.#socket.destroy();
  }

  wake(): void {
    this.#isAwake = true;
    this.#resume();
  }

  #onBytes(chunk: Buffer, onOpen: () => void): void {
    this.bytes += chunk.length;
    if (this.#isOpen) {
      this.#push(chunk);
      if (this.habit === 'trickle' && !this.#isAwake) this.#isReading = false;
      return;
    }
    this.#head += chunk.toString('latin1');
    const end = this.#head.indexOf(HEAD_END);
    if (end < 0) return;
    if (!this.#head.startsWith('HTTP/1.1 101')) this.#note(this.#head.slice(0, 40));
    this.#isOpen = true;
    this.#push(Buffer.from(this.#head.slice(end + HEAD_END.length), 'latin1'));
    this.#begin();
    onOpen();
  }

  #begin(): void {
    const every = (ms: number, work: () => void) => this.#timers.push(setInterval(work, ms));
    if (this.habit === 'mute') this.#isReading = false;
    if (this.habit === 'trickle') every(TRICKLE_MS, () => this.#resume());
    if (this.habit === 'bursty') {
      every(BURST_MS + LULL_MS, () => {
        this.#resume();
        this.#timers.push(setTimeout(() => this.#rest(), BURST_MS));
      });
      this.#timers.push(setTimeout(() => this.#rest(), BURST_MS));
    }
    if (this.habit === 'chatty') {
      every(CHAT_MS, () => this.#socket.write(clientFrame(2, Buffer.alloc(SMALL_READ_BYTES))));
    }
    if (this.habit === 'pinging') {
      every(PING_MS, () =>
        this.#socket.write(clientFrame(OP_PING, Buffer.from(String(this.pings++)))),
      );
    }
  }

  #rest(): void {
    if (this.#isAwake) return;
    this.#isReading = false;
    this.#socket.pause();
  }

  #resume(): void {
    this.#isReading = true;
    this.#socket.resume();
  }

  #push(chunk: Buffer): void {
    try {
      this.#splitter.push(chunk);
    } catch (error) {
      this.#note(String(error));
      this.leave();
    }
  }

  #onFrame(opcode: number, payload: Buffer): void {
    if (this.#isClosed) this.#note(`frame ${opcode} after the close frame`);
    if (opcode === OP_CLOSE) {
      this.#isClosed = true;
      this.#socket.write(clientFrame(OP_CLOSE, Buffer.from(payload.subarray(0, 2))));
    } else if (opcode === OP_PING) this.#socket.write(clientFrame(OP_PONG, Buffer.from(payload)));
    else if (opcode === OP_PONG) {
      const expected = `${this.pongs++}`;
      if (payload.toString() !== expected) this.#note(`pong ${payload}, not ${expected}`);
    } else if (opcode !== 2) this.#note(`frame with opcode ${opcode}`);
    else this.#onMessage(payload);
  }

  #onMessage(message: Buffer): void {
    // A map: an info or an error. Events begin with text here.
    if (message.readUInt8(0) >= 0xa0) {
      const text = message.toString('latin1');
      if (text.includes('ConsumerTooSlow')) this.isTold = true;
      else if (!text.includes('OutdatedCursor')) this.#note(text);
      return;
    }
    const event = readEvent(message);
    if (event === undefined) {
      this.#note(`after ${this.lastSeq}: not an event`);
      return;
    }
    if (this.isTold) this.#note('an event after the error frame');
    if (this.firstSeq === 0) this.firstSeq = event.seq;
    else if (event.seq !== this.lastSeq + 1) this.#note(`${event.seq} follows ${this.lastSeq}`);
    this.lastSeq = event.seq;
    this.events++;
    if (isMeasuring) delaysOf(this.habit).push(machineMs() - event.madeMs);
  }

  #onClose(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    if (this.isGone) this.#note('closed twice');
    this.isGone = true;
    if (!this.#isLeaving && !this.isTold && !this.isReset) this.#note('closed without a reason');
  }

  #note(problem: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(`${this.habit}: ${problem}`);
  }
}

const readers: Reader[] = [];
const delays = new Map<Habit, number[]>();
let isMeasuring = false;

function delaysOf(habit: Habit): number[] {
  const known = delays.get(habit);
  if (known !== undefined) return known;
  const own: number[] = [];
  delays.set(habit, own);
  return own;
}

async function open(order: Extract<CrowdOrder, { kind: 'open' }>): Promise<void> {
  for (let i = 0; i < order.count; i++) {
    await new Promise<void>((resolve) => {
      readers.push(new Reader(order.port, order.habit, order.query ?? '', resolve));
    });
  }
  process.send?.('open');
}

function report(): Partial<Record<Habit, GroupReport>> {
  const groups: Partial<Record<Habit, GroupReport>> = {};
  for (const habit of HABITS) {
    const own = readers.filter((reader) => reader.habit === habit);
    if (own.length === 0) continue;
    const sorted = [...delaysOf(habit)].sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
    const sum = (of: (reader: Reader) => number): number =>
      own.reduce((total, reader) => total + of(reader), 0);
    groups[habit] = {
      count: own.length,
      open: sum((reader) => (reader.isGone ? 0 : 1)),
      events: sum((reader) => reader.events),
      bytes: sum((reader) => reader.bytes),
      firstSeq: Math.min(...own.map((reader) => reader.firstSeq)),
      lastSeqMin: Math.min(...own.filter((one) => !one.isGone).map((reader) => reader.lastSeq)),
      problems: own.flatMap((reader) => reader.problems),
      told: sum((reader) => (reader.isTold ? 1 : 0)),
      resets: sum((reader) => (reader.isReset && !reader.isTold ? 1 : 0)),
      pongs: sum((reader) => reader.pongs),
      pings: sum((reader) => reader.pings),
      delayMsP50: at(0.5),
      delayMsP99: at(0.99),
      delayMsMax: sorted.at(-1) ?? 0,
    };
  }
  return groups;
}

process.on('message', (order: CrowdOrder) => {
  if (order.kind === 'open') void open(order);
  else if (order.kind === 'measure') {
    isMeasuring = true;
    delays.clear();
  } else if (order.kind === 'report') process.send?.(report());
  else if (order.kind === 'wake') {
    for (const reader of readers) if (order.habits.includes(reader.habit)) reader.wake();
  } else {
    // They are forgotten: what they did until now has been reported.
    for (const reader of readers) if (order.habits.includes(reader.habit)) reader.leave();
    const left = readers.filter(({ habit }) => !order.habits.includes(habit));
    readers.splice(0, readers.length, ...left);
  }
});
process.on('disconnect', () => process.exit(0));
if (process.argv[2] === 'nice') setPriority(constants.priority.PRIORITY_LOW);
