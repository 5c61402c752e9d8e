import t from 'tap';
import {
  BAD_KEY,
  isNsid,
  isRecordKey,
  isRepoPath,
  keySlash,
  NO_SLASH,
} from '../../lib/repo/nsid.ts';
import { interopLines } from './interop.ts';

t.test('LM-7: NSIDs of the interop lists', async (t) => {
  for (const nsid of interopLines('syntax/nsid_syntax_valid.txt')) t.ok(isNsid(nsid), nsid);
  for (const nsid of interopLines('syntax/nsid_syntax_invalid.txt')) t.notOk(isNsid(nsid), nsid);
});

t.test('LM-7: record keys of the interop lists', async (t) => {
  for (const key of interopLines('syntax/recordkey_syntax_valid.txt')) t.ok(isRecordKey(key), key);
  for (const key of interopLines('syntax/recordkey_syntax_invalid.txt'))
    t.notOk(isRecordKey(key), key);
});

t.test('LM-7: lengths at their limits', async (t) => {
  const name = 'n'.repeat(63);
  const authority = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
  t.ok(isNsid(`${authority}.${name}`), '317 characters');
  t.notOk(isNsid(`a.${authority}.${name}`), '319 characters');
  t.notOk(isNsid(`${authority}.${name}n`), 'name of 64');
  t.notOk(isNsid(`com.${'a'.repeat(64)}.name`), 'segment of 64');
  t.ok(isRecordKey('k'.repeat(512)));
  t.notOk(isRecordKey('k'.repeat(513)));
});

t.test('MS-8, H57, H58: paths', async (t) => {
  for (const path of ['app.bsky.feed.post/3jui7kd54zh2y', 'a.b.c/x', 'a.b.c/x:y', 'a.b.c/~._-'])
    t.ok(isRepoPath(path), path);
  const bad = [
    'foo',
    '/a.b.c/x',
    'a.b.c/x/y',
    'a.b.c/',
    'a.b.c/.',
    'a.b.c/..',
    'a b/x',
    'a.b/x',
    `a.b.c/${'k'.repeat(513)}`,
    'a.b.c/é',
    'a.b.c/\u0000',
    'a.b.c/x y',
    'a.b.3/x',
    '',
    '/',
  ];
  for (const path of bad) t.notOk(isRepoPath(path), path);
});

t.test('A41: the only slash of a part of a key', async (t) => {
  const slashOf = (text: string): number => {
    const bytes = Buffer.from(text, 'latin1');
    return keySlash(bytes, 0, bytes.length);
  };
  t.equal(slashOf('a.b.c/x:~_-'), 5);
  t.equal(slashOf('abc'), NO_SLASH);
  t.equal(slashOf('a/b/c'), BAD_KEY);
  for (const bad of ['a b', 'a\x00', 'a\xc3\xa9', 'a%2F', 'a#'])
    t.equal(slashOf(bad), BAD_KEY, bad);
});
