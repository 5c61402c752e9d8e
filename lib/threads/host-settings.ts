/**
 * What holds for each host: limits, fullness, lenience. Made of what operators stored, the formulae
 * and the number of its accounts, so limits follow an account count that grows. Owns no row: a
 * change is stored by whoever makes it and told to this table after.
 * @thread main
 */
import type { HostSettings } from '../hosts/host.ts';
import {
  accountLimitFor,
  isTrustedHost,
  QUOTA_NAMES,
  type QuotaLimits,
  quotaLimitsFor,
} from '../hosts/quota.ts';
import type { HostRow } from '../store/host-rows.ts';

/** What an operator can decide of a host; null and absent: the formulae. */
export type HostChoice = {
  readonly accountLimit: number | null;
  readonly limits: Readonly<Partial<QuotaLimits>>;
  readonly isLenient: boolean;
};

export type HostSettingsOptions = {
  readonly trustedDomains: readonly string[];
  readonly accountsPerHostMax: number;
  readonly discontinuousPerHourMax: number;
};

type Known = {
  readonly hostname: string;
  readonly choice: HostChoice;
  readonly isChanged: boolean;
};

export class HostSettingsTable {
  readonly #options: HostSettingsOptions;
  readonly #known = new Map<number, Known>();

  constructor(options: HostSettingsOptions) {
    this.#options = options;
  }

  isTrusted(hostname: string): boolean {
    return isTrustedHost(hostname, this.#options.trustedDomains);
  }

  /** A row was read. It may be older than a change that was made in this process: that stays. */
  noteRow(row: HostRow): void {
    if (this.#known.get(row.id)?.isChanged === true) return;
    this.#known.set(row.id, { hostname: row.hostname, choice: choiceOf(row), isChanged: false });
  }

  /** An operator's decision that is in the row now. */
  noteChange(row: HostRow, choice: HostChoice): void {
    this.#known.set(row.id, { hostname: row.hostname, choice, isChanged: true });
  }

  /** A change whose fate is not known: the rows are right again. */
  forgetChange(hostId: number): void {
    const known = this.#known.get(hostId);
    if (known !== undefined) this.#known.set(hostId, { ...known, isChanged: false });
  }

  /** Undefined for a host of which no row was read. */
  of(hostId: number, accountCount: number): HostSettings | undefined {
    const known = this.#known.get(hostId);
    if (known === undefined) return undefined;
    const { accountsPerHostMax, discontinuousPerHourMax } = this.#options;
    const { choice, hostname } = known;
    const isTrusted = this.isTrusted(hostname);
    const accountLimit = choice.accountLimit ?? accountLimitFor({ isTrusted, accountsPerHostMax });
    const formulae = quotaLimitsFor({
      // A host that may have many accounts is not made to wait for its first ones.
      accountCount: isTrusted ? accountCount : Math.max(accountCount, accountLimit),
      isTrusted,
      discontinuousPerHour: discontinuousPerHourMax,
    });
    return {
      limits: { ...formulae, ...choice.limits },
      isFull: accountCount >= accountLimit,
      isLenient: choice.isLenient,
    };
  }
}

/** What the row says, without names that a newer or older relay may have stored. */
export function choiceOf(row: HostRow): HostChoice {
  const limits: Partial<Record<keyof QuotaLimits, number>> = {};
  for (const name of QUOTA_NAMES) {
    const max = row.limits[name];
    if (typeof max === 'number' && max >= 0) limits[name] = max;
  }
  return { accountLimit: row.accountLimit, limits, isLenient: row.isLenient };
}
