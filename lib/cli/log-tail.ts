/**
 * `skyrelay log tail`: follows the stream of a running relay, decoded, as a careful consumer: goes
 * on from its last seq after a lost connection, and reads no faster than its output is taken.
 * @thread main
 */
import { WebSocket } from 'ws';
import { type BackoffPolicy, backoffDelayMs } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { RelayFault } from '../base/fault.ts';
import type { Prng } from '../base/prng.ts';
import { FRAME_BYTES_MAX, SECOND_MS } from '../base/units.ts';
import { Control, decodeControl } from '../wire/control.ts';
import { Peek, peek } from '../wire/peek.ts';
import { type EventJson, eventJson } from './event-text.ts';

const RETRY: BackoffPolicy = { delayMsMin: SECOND_MS, delayMsMax: 30 * SECOND_MS };
const STREAM_PATH = '/xrpc/com.atproto.sync.subscribeRepos';
const HANDSHAKE_MS = 10 * SECOND_MS;
/** After so long without anything, pings included, the connection counts as lost. */
const SILENCE_MS = 90 * SECOND_MS;

export type TailOptions = {
  /** `ws://host:port` of the relay. */
  readonly url: string;
  /** Start above this seq; undefined for what comes from now on. */
  readonly cursor: number | undefined;
  /** End after so many events; Infinity to go on. */
  readonly countMax: number;
  readonly clock: Clock;
  readonly prng: Prng;
  /** Resolves when the next one may come. */
  readonly onEvent: (event: EventJson) => Promise<void> | undefined;
  /** Connections, info frames and what does not decode, for people. */
  readonly onNote: (note: string) => void;
  readonly signal: AbortSignal;
};

/**
 * Ends when `countMax` events came or the signal aborts. Throws a `RelayFault` `stream_refused`
 * when the relay answers with an error frame: to ask again would give the same answer.
 */
export async function tailStream(options: TailOptions): Promise<void> {
  const { clock, prng, onNote, signal } = options;
  const state: TailState = { cursor: options.cursor, left: options.countMax, isRefused: '' };
  let failures = 0;
  while (state.left > 0 && !signal.aborted) {
    const before = state.left;
    const why = await readConnection(options, state);
    if (state.isRefused !== '') {
      throw new RelayFault('stream_refused', state.isRefused, { isRetryable: false });
    }
    if (state.left === 0 || signal.aborted) return;
    failures = state.left < before ? 0 : failures + 1;
    const delayMs = backoffDelayMs(RETRY, failures, prng);
    onNote(`${why}; again in ${(delayMs / SECOND_MS).toFixed(1)} s from ${state.cursor ?? 'now'}`);
    await clock.sleep(delayMs, signal);
  }
}

type TailState = { cursor: number | undefined; left: number; isRefused: string };

async function readConnection(options: TailOptions, state: TailState): Promise<string> {
  const { clock, onNote, signal } = options;
  const query = state.cursor === undefined ? '' : `?cursor=${state.cursor}`;
  const socket = new WebSocket(`${options.url}${STREAM_PATH}${query}`, {
    perMessageDeflate: false,
    maxPayload: FRAME_BYTES_MAX,
    handshakeTimeout: HANDSHAKE_MS,
    followRedirects: false,
  });
  let why = 'the relay closed the connection';
  let heardMs = clock.monoMs();
  const stop = (): void => socket.terminate();
  signal.addEventListener('abort', stop, { once: true });
  const watch = clock.every(SECOND_MS, () => {
    if (clock.monoMs() - heardMs < SILENCE_MS) return;
    why = 'nothing heard';
    socket.terminate();
  });
  const peeked = new Peek();
  const { promise: closed, resolve: onClose } = Promise.withResolvers<void>();
  socket.on('close', () => onClose());
  socket.on('open', () => onNote(`connected to ${options.url}`));
  socket.on('error', (error) => {
    why = error.message;
  });
  socket.on('ping', () => {
    heardMs = clock.monoMs();
  });
  socket.on('message', (data: Buffer) => {
    heardMs = clock.monoMs();
    if (state.left <= 0) return;
    const what = peek(data, peeked);
    if (what !== 'event') {
      takeControl(data, what, state, onNote);
      return;
    }
    const event = eventJson(data, peeked.kind);
    if (event === undefined) {
      onNote(`seq ${peeked.hostSeq} does not decode`);
      return;
    }
    state.cursor = event.seq;
    state.left -= 1;
    const pending = options.onEvent(event);
    if (state.left <= 0) socket.terminate();
    else if (pending !== undefined) {
      socket.pause();
      void pending.then(() => socket.resume());
    }
  });
  await closed;
  watch.cancel();
  signal.removeEventListener('abort', stop);
  return why;
}

function takeControl(
  data: Buffer,
  what: string,
  state: TailState,
  onNote: (note: string) => void,
): void {
  const control = new Control();
  if (decodeControl(data, control) !== undefined) {
    onNote(`a frame that is none of a relay's (${what})`);
    return;
  }
  const text = control.message === '' ? control.name : `${control.name}: ${control.message}`;
  if (control.isError) state.isRefused = text;
  else onNote(text);
}
