/** What the relay's counters and a few hosts say at one moment, to be compared with later. */
import { REJECT_CODES, type RejectCode } from '../../lib/reject/codes.ts';
import type { FleetHost } from '../../scripts/fleet/fleet-host.ts';
import type { RelayProcess } from '../helpers/relay-process.ts';

const SERIES = /^(relay_[a-z_]+)(?:\{([^}]*)\})? (\S+)$/;

export class Observation {
  /** By family, and by `family:value` for each label. */
  readonly #values = new Map<string, number>();
  /** Connections of the relay to the hosts that were looked at. */
  readonly connectCount: number;

  private constructor(metrics: string, connectCount: number) {
    this.connectCount = connectCount;
    for (const line of metrics.split('\n')) {
      const [, family = '', labels = '', value = '0'] = SERIES.exec(line) ?? [];
      if (family === '') continue;
      this.#add(family, Number(value));
      for (const [, label] of labels.matchAll(/="([^"]*)"/g)) {
        this.#add(`${family}:${label}`, Number(value));
      }
    }
  }

  static async take(relay: RelayProcess, hosts: readonly FleetHost[]): Promise<Observation> {
    const connectCount = hosts.reduce((sum, host) => sum + host.cursorsSeen.length, 0);
    const response = await fetch(`http://127.0.0.1:${relay.metricsPort}/metrics`);
    return new Observation(await response.text(), connectCount);
  }

  /** How much a series has grown; `family`, or `family:value` for one label. */
  since(before: Observation, series: string): number {
    return (this.#values.get(series) ?? 0) - (before.#values.get(series) ?? 0);
  }

  /** Codes that were counted since then. */
  rejectsSince(before: Observation): RejectCode[] {
    return REJECT_CODES.filter((code) => {
      return this.since(before, `relay_reject_events_total:${code}`) > 0;
    });
  }

  /** Why connections ended since then. */
  causesSince(before: Observation): string[] {
    const prefix = 'relay_upstream_disconnects_total:';
    const causes = [...this.#values.keys()].filter((series) => {
      return series.startsWith(prefix) && this.since(before, series) > 0;
    });
    return causes.map((series) => series.slice(prefix.length));
  }

  #add(series: string, value: number): void {
    this.#values.set(series, (this.#values.get(series) ?? 0) + value);
  }
}
