/**
 * With whom we are willing to talk: which IP addresses are public (S3) and which texts name a host
 * (S1). Pure; it resolves nothing. A host is written in one normal form, `name` or, for a local
 * test set-up, `localhost:port`, so that two spellings of one host compare equal (H143).
 * Knows nothing of who asked: requestCrawl, DID documents and did:web all pass through here.
 * @thread any
 */

export type AddressKind =
  | 'public'
  | 'loopback'
  | 'private'
  | 'link_local'
  | 'reserved'
  | 'not_an_address';

type Range4 = readonly [network: number, prefixBits: number, kind: AddressKind];

/** IPv4 that is not the public internet (S3; RFC 6890 and what came after). */
const REFUSED4: readonly Range4[] = [
  [v4(0, 0, 0, 0), 8, 'reserved'],
  [v4(10, 0, 0, 0), 8, 'private'],
  [v4(100, 64, 0, 0), 10, 'private'],
  [v4(127, 0, 0, 0), 8, 'loopback'],
  [v4(169, 254, 0, 0), 16, 'link_local'],
  [v4(172, 16, 0, 0), 12, 'private'],
  [v4(192, 0, 0, 0), 24, 'reserved'],
  [v4(192, 0, 2, 0), 24, 'reserved'],
  [v4(192, 88, 99, 0), 24, 'reserved'],
  [v4(192, 168, 0, 0), 16, 'private'],
  [v4(198, 18, 0, 0), 15, 'reserved'],
  [v4(198, 51, 100, 0), 24, 'reserved'],
  [v4(203, 0, 113, 0), 24, 'reserved'],
  [v4(224, 0, 0, 0), 4, 'reserved'],
  [v4(240, 0, 0, 0), 4, 'reserved'],
];

type Range6 = readonly [word0: number, word1: number, prefixBits: number];

/**
 * IPv6 is refused unless it lies in 2000::/3 and outside these: protocol assignments with Teredo,
 * documentation (two blocks), 6to4. So every form that carries an IPv4 address inside is refused.
 */
const REFUSED6: readonly Range6[] = [
  [0x2001, 0x0000, 23],
  [0x2001, 0x0db8, 32],
  [0x2002, 0x0000, 16],
  [0x3fff, 0x0000, 20],
];

function v4(a: number, b: number, c: number, d: number): number {
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** Judges one address as DNS or the kernel writes it; anything unusual is `not_an_address`. */
export function judgeAddress(text: string): AddressKind {
  if (text.length > 45) return 'not_an_address';
  const value4 = parse4(text);
  if (value4 >= 0) return judge4(value4);
  const words = parse6(text);
  return words === undefined ? 'not_an_address' : judge6(words);
}

function judge4(value: number): AddressKind {
  for (const [network, prefixBits, kind] of REFUSED4) {
    if ((value ^ network) >>> (32 - prefixBits) === 0) return kind;
  }
  return 'public';
}

function judge6(words: readonly number[]): AddressKind {
  const [word0 = 0, word1 = 0] = words;
  if (words.every((word, index) => word === (index === 7 ? 1 : 0))) return 'loopback';
  if ((word0 & 0xffc0) === 0xfe80) return 'link_local';
  if ((word0 & 0xfe00) === 0xfc00) return 'private';
  if (word0 >>> 13 !== 1) return 'reserved';
  const high = ((word0 << 16) | word1) >>> 0;
  for (const [net0, net1, prefixBits] of REFUSED6) {
    const network = ((net0 << 16) | net1) >>> 0;
    if ((high ^ network) >>> (32 - prefixBits) === 0) return 'reserved';
  }
  return 'public';
}

/** The 32-bit value, or -1. Only the plain spelling: no octal, no hex, no short form. */
function parse4(text: string): number {
  const parts = text.split('.');
  if (parts.length !== 4) return -1;
  let value = 0;
  for (const part of parts) {
    if (!/^(?:0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return -1;
    value = value * 256 + Number(part);
  }
  return value;
}

/** The eight 16-bit words, or undefined. No zone; a dotted tail is allowed. */
function parse6(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = words6(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 1 ? [] : words6(halves[1] ?? '', true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

function words6(text: string, mayEndIn4: boolean): number[] | undefined {
  if (text === '') return [];
  const words: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    const value4 = mayEndIn4 && index === parts.length - 1 ? parse4(part) : -1;
    if (value4 >= 0) words.push(value4 >>> 16, value4 & 0xffff);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) words.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return words;
}

/** Why a text names no host that we would talk to. */
export type HostFault =
  | 'too_long'
  | 'scheme'
  | 'userinfo'
  | 'path'
  | 'port'
  | 'ip_address'
  | 'name_bad'
  | 'single_label'
  | 'reserved_domain'
  | 'localhost';

export type HostVerdict =
  | { readonly host: string; readonly fault?: undefined }
  | { readonly host?: undefined; readonly fault: HostFault };

export type HostPolicy = {
  /** Test set-ups only: `localhost:port` over plain HTTP is a host too. */
  readonly isInsecureAllowed: boolean;
};

const NAME_CHARS_MAX = 253;
const INPUT_CHARS_MAX = 512;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** Never resolvable in public: DD-4, S1. */
const RESERVED_TLDS: ReadonlySet<string> = new Set([
  'alt',
  'arpa',
  'example',
  'internal',
  'invalid',
  'local',
  'localhost',
  'onion',
  'test',
]);

/**
 * The normal form of a host given as `name`, `name:443`, `https://name[:443][/]`, in any case and
 * with or without the root's dot; with `isInsecureAllowed` also `[http://]localhost:port`.
 * Everything else has a fault (S1, S5, H142, H143): other ports, IP addresses in any spelling,
 * reserved names, paths, user info.
 */
export function normalizeHost(input: string, policy: HostPolicy): HostVerdict {
  if (input.length > INPUT_CHARS_MAX) return { fault: 'too_long' };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(input)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== 'https' && scheme !== 'http') return { fault: 'scheme' };
  const rest = scheme === undefined ? input : input.slice(scheme.length + 3);
  const authorityEnd = rest.search(/[/?#\\]/);
  const authority = authorityEnd < 0 ? rest : rest.slice(0, authorityEnd);
  if (authorityEnd >= 0 && rest.slice(authorityEnd) !== '/') return { fault: 'path' };
  if (authority.includes('@')) return { fault: 'userinfo' };
  if (authority.includes('[') || authority.split(':').length > 2) return { fault: 'ip_address' };
  const [nameText = '', portText] = authority.split(':');
  if (portText !== undefined && !isPort(portText)) return { fault: 'port' };
  const name = nameText.toLowerCase().replace(/\.$/, '');
  if (name === 'localhost') return localVerdict(scheme, portText, policy);
  const fault = publicNameFault(name);
  if (fault !== undefined) return { fault };
  if (scheme === 'http') return { fault: 'scheme' };
  if (portText !== undefined && portText !== '443') return { fault: 'port' };
  return { host: name };
}

function localVerdict(
  scheme: string | undefined,
  portText: string | undefined,
  policy: HostPolicy,
): HostVerdict {
  if (!policy.isInsecureAllowed) return { fault: 'localhost' };
  if (scheme === 'https') return { fault: 'scheme' };
  return portText === undefined ? { fault: 'port' } : { host: `localhost:${portText}` };
}

/** True for a host in normal form that is spoken to without TLS: only `localhost:port`. */
export function isLocalHost(host: string): boolean {
  return host.startsWith('localhost:');
}

/** The origin of a host in normal form, for HTTP requests. */
export function originOfHost(host: string): string {
  return isLocalHost(host) ? `http://${host}` : `https://${host}`;
}

function isPort(text: string): boolean {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535;
}

/**
 * Why a lower-case name without a final dot is no public DNS name, or undefined (S1). The last
 * label must start with a letter: the URL parser takes a name whose last label is a number, in
 * decimal, octal or hex, for an IPv4 address.
 */
export function publicNameFault(name: string): HostFault | undefined {
  if (name.length > NAME_CHARS_MAX) return 'too_long';
  const labels = name.split('.');
  const top = labels[labels.length - 1] ?? '';
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(top)) return 'ip_address';
  if (!isDomainName(name))
    return labels.length < 2 && LABEL.test(top) ? 'single_label' : 'name_bad';
  if (RESERVED_TLDS.has(top)) return 'reserved_domain';
  // The URL parser has the last word (S1: reject after parsing).
  return URL.parse(`https://${name}/`)?.hostname === name ? undefined : 'name_bad';
}

/** Syntax only: ≥ 2 lower-case LDH labels, ≤ 253 characters, the last starts with a letter. */
export function isDomainName(name: string): boolean {
  if (name.length > NAME_CHARS_MAX) return false;
  const labels = name.split('.');
  if (labels.length < 2 || !/^[a-z]/.test(labels[labels.length - 1] ?? '')) return false;
  return labels.every((label) => LABEL.test(label));
}
