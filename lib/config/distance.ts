/**
 * How many single-character edits lie between two names (Levenshtein), to propose the name that
 * was meant. Pure.
 * @thread any
 */
const CHARS_MAX = 128;

export function editDistance(from: string, to: string): number {
  const a = from.slice(0, CHARS_MAX);
  const b = to.slice(0, CHARS_MAX);
  let above = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const replaced = (above[j - 1] ?? 0) + (isSame ? 0 : 1);
      row.push(Math.min(replaced, (above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    above = row;
  }
  return above[b.length] ?? 0;
}
