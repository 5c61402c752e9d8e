/**
 * Frames that ended a thread, failed our own verifier or ended a connection twice at the same
 * place: kept as files for whoever is on call, once each (G12), and never sent anywhere.
 * Bounded by count; a fault while writing is the caller's counter, never its end.
 * @thread any
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILES_MAX = 1000;

export type QuarantinedFrame = {
  readonly hostname: string;
  readonly hostSeq: number;
  readonly reason: string;
  readonly epochMs: number;
};

export class Quarantine {
  readonly #directory: string;
  #fileCount = -1;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Writes the frame as received to a file of its own. False when it was not kept. */
  keep(about: QuarantinedFrame, frame: Buffer): boolean {
    try {
      if (this.#fileCount < 0) {
        mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
        this.#fileCount = readdirSync(this.#directory).length;
      }
      if (this.#fileCount >= FILES_MAX) return false;
      const host = about.hostname.replace(/[^a-z0-9.-]/gi, '_').slice(0, 100);
      const name = `${about.epochMs}-${host}-${about.hostSeq}-${about.reason}.frame`;
      writeFileSync(join(this.#directory, name), frame, { mode: 0o600 });
      this.#fileCount += 1;
      return true;
    } catch {
      return false;
    }
  }
}
