/** A host as the store gives it, for tests that care about a few fields of it. */
import type { HostRecord, HostSettings } from '../../lib/hosts/host.ts';
import { quotaLimitsFor } from '../../lib/hosts/quota.ts';

/** What holds for a host with so many accounts; big and trusted by default: no limit is met. */
export function hostSettings(
  host: { accountCount?: number; isTrusted?: boolean } = {},
  change: Partial<HostSettings> = {},
): HostSettings {
  const { accountCount = 1_000_000, isTrusted = true } = host;
  const limits = quotaLimitsFor({ accountCount, isTrusted, discontinuousPerHour: 500 });
  return { limits, isFull: false, isLenient: false, ...change };
}

export function hostRecord(hostname: string, change: Partial<HostRecord> = {}): HostRecord {
  return {
    hostId: 1,
    hostname,
    status: 'active',
    cursor: null,
    isTrusted: true,
    settings: hostSettings(),
    ...change,
  };
}
