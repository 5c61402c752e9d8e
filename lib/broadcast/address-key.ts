/**
 * What counts as one client when limits are kept per address: an IPv4 address, or a /64 of IPv6
 * (S14: one customer has at least that many). Pure.
 * @thread any
 */
const MAPPED_V4 = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;
const PREFIX_GROUPS = 4;
const GROUPS = 8;

/** The key of an address as Node prints it; any text gives some key, '' where there is none. */
export function addressKey(address: string | undefined): string {
  if (address === undefined) return '';
  const mapped = MAPPED_V4.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(':')) return address;
  // A link-local address carries its interface; limits are per address, whatever the interface.
  const groups = expand(address.split('%', 1)[0] ?? '');
  return `${groups.slice(0, PREFIX_GROUPS).join(':')}::/64`;
}

/** The eight groups of an IPv6 address without leading zeros. */
function expand(address: string): string[] {
  const [head = '', tail] = address.toLowerCase().split('::', 2);
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const gap = tail === undefined ? 0 : Math.max(0, GROUPS - left.length - right.length);
  const groups = [...left, ...Array.from({ length: gap }, () => '0'), ...right];
  return groups.map((group) => group.replace(/^0+(?=.)/, ''));
}
