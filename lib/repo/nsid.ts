/**
 * Syntax of repository paths: `<NSID>/<record key>` (MS-8, LM-7), and the looser rule for keys
 * that merely stand in a tree node: record-key characters and exactly one slash (A41).
 * @thread any
 */
const NSID_CHARS_MAX = 317;
const SEGMENT_CHARS_MAX = 63;
const RECORD_KEY_CHARS_MAX = 512;

const DIGIT = 1;
const LETTER = 2;
const HYPHEN = 4;
/** `.`, `_`, `:` and `~`: with the three above, what a record key may be made of. */
const KEY_MARK = 8;
const SLASH = 16;
const DOT_CODE = 0x2e;
const SLASH_CODE = 0x2f;

/** Class bits of every byte value; 0 = not allowed anywhere in a path. */
const CLASSES = new Uint8Array(256);
for (let code = 0x30; code <= 0x39; code++) CLASSES[code] = DIGIT;
for (let code = 0x41; code <= 0x5a; code++) CLASSES[code] = LETTER;
for (let code = 0x61; code <= 0x7a; code++) CLASSES[code] = LETTER;
CLASSES[0x2d] = HYPHEN;
for (const mark of '._:~') CLASSES[mark.charCodeAt(0)] = KEY_MARK;
CLASSES[SLASH_CODE] = SLASH;

const classAt = (text: string, index: number): number => CLASSES[text.charCodeAt(index)] ?? 0;

/** True where `text[from, to)` is one dotted segment: 1…63 letters, digits, inner hyphens. */
function isSegment(text: string, from: number, to: number): boolean {
  if (to <= from || to - from > SEGMENT_CHARS_MAX) return false;
  for (let i = from; i < to; i++) {
    if ((classAt(text, i) & (DIGIT | LETTER | HYPHEN)) === 0) return false;
  }
  return classAt(text, from) !== HYPHEN && classAt(text, to - 1) !== HYPHEN;
}

/** The last segment of an NSID: letters and digits, a letter first. */
function isName(text: string, from: number, to: number): boolean {
  if (!isSegment(text, from, to) || classAt(text, from) !== LETTER) return false;
  for (let i = from; i < to; i++) if (classAt(text, i) === HYPHEN) return false;
  return true;
}

function isNsidRange(text: string, end: number): boolean {
  if (end > NSID_CHARS_MAX || classAt(text, 0) !== LETTER) return false;
  let segments = 0;
  let from = 0;
  for (let i = 0; i < end; i++) {
    if (text.charCodeAt(i) !== DOT_CODE) continue;
    if (!isSegment(text, from, i)) return false;
    segments++;
    from = i + 1;
  }
  // The bound of 253 for the authority alone is not enforced: the public vectors go beyond it.
  return segments >= 2 && isName(text, from, end);
}

function isRecordKeyRange(text: string, from: number): boolean {
  const chars = text.length - from;
  if (chars < 1 || chars > RECORD_KEY_CHARS_MAX) return false;
  for (let i = from; i < text.length; i++) {
    const bits = classAt(text, i);
    if (bits === 0 || bits === SLASH) return false;
  }
  const isDots = chars <= 2 && text.charCodeAt(from) === DOT_CODE && text.endsWith('.');
  return !isDots;
}

export function isNsid(text: string): boolean {
  return isNsidRange(text, text.length);
}

export function isRecordKey(text: string): boolean {
  return isRecordKeyRange(text, 0);
}

/** The path of an operation: NSID, one slash, record key (H57, H58). */
export function isRepoPath(path: string): boolean {
  const slash = path.indexOf('/');
  return slash > 0 && isNsidRange(path, slash) && isRecordKeyRange(path, slash + 1);
}

/** `keySlash`: no slash in the range. */
export const NO_SLASH = -1;
/** `keySlash`: a byte that may not stand in a path, or a second slash. */
export const BAD_KEY = -2;

/** Where the only slash of `bytes[from, to)`, a part of a tree key, stands; or one of the above. */
export function keySlash(bytes: Uint8Array, from: number, to: number): number {
  let slash = NO_SLASH;
  for (let i = from; i < to; i++) {
    const bits = CLASSES[bytes[i] as number] as number;
    if (bits === 0 || (bits === SLASH && slash !== NO_SLASH)) return BAD_KEY;
    if (bits === SLASH) slash = i;
  }
  return slash;
}
