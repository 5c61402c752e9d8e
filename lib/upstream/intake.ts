/**
 * The path of one host's frames on main: rate, peek, order of the host's seqs, replay, ring. Owns
 * what is known of the host's stream (position, strikes, poison, last rejects), which outlives its
 * connections. Decides and counts; the subscription does what the verdict says. Judging a frame
 * again after `pause_…` is harmless: nothing is counted before it is done.
 *
 *   seq of the first frame of a connection, against the last routed one (A5, A49):
 *     above       next frame
 *     equal       the host's cursor is inclusive: dropped
 *     below       the host renumbered or ignores cursors: accepted, flagged; rev order decides
 *   later on      must rise; else dropped and counted, many in a row end the connection (H37)
 * @thread main
 */
import { crc32 } from 'node:zlib';
import type { HostSettings } from '../hosts/host.ts';
import type { HostQuota } from '../hosts/quota.ts';
import { Strikes } from '../hosts/strikes.ts';
import { REJECTS, type RejectCode } from '../reject/codes.ts';
import { FLAG_HOST_FULL, FLAG_LENIENT } from '../ring/ingest-record.ts';
import { Control, decodeControl } from '../wire/control.ts';
import { type DidHash, didHash } from '../wire/did-hash.ts';
import { KIND_COMMIT } from '../wire/kinds.ts';
import { Peek, peek } from '../wire/peek.ts';
import type { EndCause } from './connection.ts';
import type { UpstreamContext } from './context.ts';
import type { CursorSlot } from './cursor-map.ts';
import { PoisonGuard } from './poison.ts';
import type { FrameMeta } from './sink.ts';

export type IntakeVerdict =
  /** The frame is dealt with: routed, dropped or skipped. */
  | 'done'
  | 'pause_operator'
  | 'pause_rate'
  /** The cursor before the host's first frame must be stored first. */
  | 'pause_cursor'
  | 'pause_ring'
  /** End the connection for `closeCause`. */
  | 'close';

export type HostReject = {
  readonly code: RejectCode;
  readonly hostSeq: number;
  /** Wall clock, in milliseconds. */
  readonly atMs: number;
};

const REJECTS_KEPT = 8;
/** Regressed frames in a row after which a stream makes no sense any more. */
const REGRESSED_MAX = 1000;

// Main handles one frame at a time: these are filled and read within one call.
const peeked = new Peek();
const control = new Control();
const hash: DidHash = { lo: 0, hi: 0 };
const meta: FrameMeta = {
  kind: KIND_COMMIT,
  flags: 0,
  hostId: 0,
  hostname: '',
  hostSeq: 0,
  arrivalMs: 0,
  didStart: 0,
  didEnd: 0,
};

export type IntakeHost = {
  readonly hostId: number;
  readonly hostname: string;
  readonly slot: CursorSlot;
  readonly quota: HostQuota;
  readonly isTrusted: boolean;
};

export class Intake {
  readonly #context: UpstreamContext;
  readonly #host: IntakeHost;
  readonly #strikes = new Strikes();
  readonly #poison = new PoisonGuard();
  /** Newest last. */
  readonly #rejects: HostReject[] = [];
  #flags = 0;
  #connectionNo = 0;
  /** Last seq on this connection; 0 before its first event. */
  #connectionSeq = 0;
  /** The connection asked from 0: its first seq may be any, also the last routed one. */
  #isProbe = false;
  #regressedInRow = 0;
  #routedCount = 0;
  #isOperatorPaused = false;
  #closeCause: EndCause = 'reject';
  #closeDetail = '';
  #errorName = '';
  #firstSeq = 0;

  constructor(context: UpstreamContext, host: IntakeHost) {
    this.#context = context;
    this.#host = host;
  }

  /** What `close` means, valid after that verdict. */
  get closeCause(): EndCause {
    return this.#closeCause;
  }

  get closeDetail(): string {
    return this.#closeDetail;
  }

  /** `error` of the error frame that made for `close`, as `FutureCursor`; else ''. */
  get errorName(): string {
    return this.#errorName;
  }

  /** Host seq of the frame that waits, valid after `pause_cursor`. */
  get firstSeq(): number {
    return this.#firstSeq;
  }

  /** Frames routed since the host was added. */
  get routedCount(): number {
    return this.#routedCount;
  }

  get rejects(): readonly HostReject[] {
    return this.#rejects;
  }

  strikeCount(): number {
    return this.#strikes.count(this.#context.clock.monoMs());
  }

  /** An operator stops or allows the intake of this host (S50). */
  setPaused(isPaused: boolean): void {
    this.#isOperatorPaused = isPaused;
  }

  /** Holds for every frame that is routed from now on. */
  setSettings({ isLenient, isFull }: HostSettings): void {
    this.#flags = (isLenient ? FLAG_LENIENT : 0) | (isFull ? FLAG_HOST_FULL : 0);
  }

  /** `isProbe`: the host called our cursor its future, so it was asked for all it has. */
  onConnected(isProbe: boolean): void {
    this.#connectionNo++;
    this.#isProbe = isProbe;
    this.#connectionSeq = 0;
    this.#regressedInRow = 0;
  }

  /** A message that cannot be read at all ended the connection. */
  onUnreadable(): void {
    this.#poison.noteOversized(this.#position());
    this.#reject('frame_too_large', 0);
  }

  /** Seqs to step over with the next cursor, see PoisonGuard. */
  stepOver(): number {
    return this.#poison.stepOver(this.#position());
  }

  /** A verify thread rejected a frame of this host; true when the connection must end. */
  penalize(code: RejectCode, hostSeq: number): boolean {
    this.#remember(code, hostSeq);
    if (REJECTS[code].action === 'strike') return this.#strike(code);
    return REJECTS[code].action === 'close' && this.#close('reject', code);
  }

  /** Deals with one message, or says why it has to wait. */
  accept(frame: Buffer, isBinary: boolean, arrivalMs: number): IntakeVerdict {
    const { clock, isPaused } = this.#context;
    if (this.#isOperatorPaused || isPaused) return 'pause_operator';
    const nowMs = clock.monoMs();
    if (this.#host.quota.waitMs(nowMs) > 0) return 'pause_rate';
    const verdict = isBinary ? this.#judge(frame, arrivalMs) : this.#bad('frame_not_binary', frame);
    // Everything that was dealt with counts, not only what was routed: garbage costs time too.
    if (verdict === 'done' || verdict === 'close') this.#host.quota.take(nowMs, frame.length);
    return verdict;
  }

  #judge(frame: Buffer, arrivalMs: number): IntakeVerdict {
    const result = peek(frame, peeked);
    if (result === 'event') return this.#onEvent(frame, arrivalMs);
    if (result === 'info' || result === 'error') return this.#onControl(frame);
    return this.#bad(result, frame);
  }

  #onEvent(frame: Buffer, arrivalMs: number): IntakeVerdict {
    const { hostSeq } = peeked;
    if (this.#isRegressed(hostSeq)) return this.#onRegressed(hostSeq);
    const { slot, hostId } = this.#host;
    if (this.#context.cursors.last(slot) === null) {
      this.#firstSeq = hostSeq;
      return 'pause_cursor';
    }
    const replay = this.#context.replay.has(hostId) ? this.#judgeReplay(frame) : 'pass';
    if (replay === 'skip') this.#context.metrics.add('relay_upstream_skipped_frames_total');
    if (replay === 'late') this.#reject('host_replayed_late', hostSeq);
    if (replay === 'pass' && !this.#offer(frame, arrivalMs)) return 'pause_ring';
    this.#onPassed(hostSeq);
    return 'done';
  }

  #offer(frame: Buffer, arrivalMs: number): boolean {
    meta.kind = peeked.kind;
    meta.flags = this.#flags;
    meta.hostId = this.#host.hostId;
    meta.hostname = this.#host.hostname;
    meta.hostSeq = peeked.hostSeq;
    meta.arrivalMs = arrivalMs;
    meta.didStart = peeked.didStart;
    meta.didEnd = peeked.didEnd;
    if (!this.#context.sink.offer(frame, meta)) return false;
    this.#routedCount++;
    return true;
  }

  #onPassed(hostSeq: number): void {
    if (this.#connectionSeq === 0 && hostSeq < this.#position()) this.#onRenumbered(hostSeq);
    this.#connectionSeq = hostSeq;
    this.#regressedInRow = 0;
    this.#context.cursors.setRouted(this.#host.slot, hostSeq);
  }

  #isRegressed(hostSeq: number): boolean {
    if (this.#connectionSeq > 0) return hostSeq <= this.#connectionSeq;
    return hostSeq === this.#position() && !this.#isProbe;
  }

  #onRegressed(hostSeq: number): IntakeVerdict {
    this.#reject('host_seq_regressed', hostSeq);
    this.#connectionSeq = Math.max(this.#connectionSeq, hostSeq);
    if (++this.#regressedInRow < REGRESSED_MAX) return 'done';
    this.#close('reject', 'host_seq_regressed');
    return 'close';
  }

  #onRenumbered(hostSeq: number): void {
    const { logger, metrics } = this.#context;
    const { hostname } = this.#host;
    metrics.add('relay_upstream_renumbered_total');
    logger.warn({ host: hostname, hostSeq, hostSeqLast: this.#position() }, 'host seqs went back');
  }

  #judgeReplay(frame: Buffer): 'pass' | 'skip' | 'late' {
    didHash(frame, peeked.didStart, peeked.didEnd, hash);
    const { replay, logger } = this.#context;
    const { hostId, hostname } = this.#host;
    const verdict = replay.judge(hostId, peeked.hostSeq, hash, () => crc32(frame));
    if (verdict !== 'renumbered') return verdict;
    this.#context.metrics.add('relay_upstream_renumbered_total');
    logger.warn({ host: hostname, hostSeq: peeked.hostSeq }, 'host uses a seq for other bytes');
    return 'pass';
  }

  #onControl(frame: Buffer): IntakeVerdict {
    const reject = decodeControl(frame, control);
    if (reject !== undefined && !control.isError) return this.#bad(reject, frame);
    const { logger, metrics } = this.#context;
    const fields = { host: this.#host.hostname, name: control.name, message: control.message };
    if (!control.isError) {
      metrics.add('relay_upstream_info_frames_total');
      logger.info(fields, 'info frame');
      return 'done';
    }
    this.#reject('frame_error_op', 0);
    logger.info(fields, 'error frame');
    this.#close('error_frame', control.name === '' ? 'malformed' : control.name);
    this.#errorName = control.name;
    return 'close';
  }

  /** A frame that is none: by its code ignored, dropped, a strike, or the end. */
  #bad(code: RejectCode, frame: Buffer): IntakeVerdict {
    const { action } = REJECTS[code];
    if (action === 'strike' || action === 'close') {
      const seen = this.#poison.judge(this.#position(), frame, this.#connectionNo);
      if (seen !== 'new') return this.#stepOverPoison(code, frame, seen === 'known_first');
    }
    this.#reject(code, 0);
    if (action === 'strike') return this.#strike(code) ? 'close' : 'done';
    if (action !== 'close') return 'done';
    this.#close('reject', code);
    return 'close';
  }

  #stepOverPoison(code: RejectCode, frame: Buffer, isFirst: boolean): 'done' {
    const { metrics, logger, quarantine } = this.#context;
    const { hostId, hostname } = this.#host;
    metrics.add('relay_upstream_poison_frames_total');
    if (!isFirst) return 'done';
    logger.warn({ host: hostname, code, bytes: frame.length }, 'poison frame stepped over');
    quarantine({ hostId, hostname, code, hostSeqBefore: this.#position(), frame });
    return 'done';
  }

  #strike(code: RejectCode): boolean {
    this.#context.metrics.add('relay_upstream_strikes_total');
    return this.#strikes.add(this.#context.clock.monoMs()) && this.#close('strikes', code);
  }

  #close(cause: EndCause, detail: string): true {
    this.#closeCause = cause;
    this.#closeDetail = detail;
    this.#errorName = '';
    return true;
  }

  #reject(code: RejectCode, hostSeq: number): void {
    this.#context.metrics.addReject(code, this.#host.isTrusted ? 'trusted' : 'normal');
    this.#remember(code, hostSeq);
    const suppressed = this.#context.sampler.admit(`${code} ${this.#host.hostId}`);
    if (suppressed < 0) return;
    const fields = { host: this.#host.hostname, code, hostSeq, suppressed };
    this.#context.logger.warn(fields, 'frame rejected');
  }

  #remember(code: RejectCode, hostSeq: number): void {
    if (this.#rejects.length >= REJECTS_KEPT) this.#rejects.shift();
    this.#rejects.push({ code, hostSeq, atMs: this.#context.clock.epochMs() });
  }

  /** The last routed host seq; NaN before the first and without a stored cursor. */
  #position(): number {
    return this.#context.cursors.last(this.#host.slot) ?? Number.NaN;
  }
}
