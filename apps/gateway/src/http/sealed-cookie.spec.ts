import type { FastifyReply } from 'fastify';
import { expect, test } from 'vitest';
import { ManualClock } from '#runtime/testing';
import { type CookieSettings, SealedCookie, TooLarge } from './sealed-cookie.js';

const clock = new ManualClock('2026-12-01T12:00:00Z');
const NOW = clock.now().getTime() / 1_000;
const settings: CookieSettings = { secrets: ['sixteen letters!'], isHttps: false, clock };

type Thing = { readonly of: string };
const cookie = (name = 'thing', changed: Partial<CookieSettings> = {}) =>
  new SealedCookie<Thing>(name, { ...settings, ...changed });

/** What `act` sets. */
async function setBy(act: (reply: FastifyReply) => unknown): Promise<string> {
  let set = '';
  await act({ header: (_name: string, value: string) => (set = value) } as never);
  return set;
}

const sealed = async (by = cookie(), content: Thing = { of: 'Ada' }, endsAt = NOW + 60) =>
  (await setBy((reply) => by.set(reply, content, endsAt))).split(';', 1)[0]!;

test('what is sealed is opened again, also among other cookies, and shows nothing', async () => {
  const pair = await sealed();
  expect(await cookie().open(pair)).toMatchObject({ of: 'Ada' });
  expect(await cookie().open(`a=b; ${pair};c=d`)).toMatchObject({ of: 'Ada' });
  expect(Buffer.from(pair.split('.')[3]!, 'base64url').toString('latin1')).not.toContain('Ada');
});

test.each([undefined, '', 'a=b', 'something=else', 'thing'])('in %j it is not', async (header) =>
  expect(await cookie().open(header)).toBeUndefined(),
);

test('scripts cannot read it, and pages of other sites send it with nothing but a link', async () => {
  expect(await setBy((reply) => cookie().set(reply, { of: 'Ada' }, NOW + 60))).toMatch(
    /^thing=[\w.-]+; Path=\/; HttpOnly; SameSite=Lax$/,
  );
  expect(await setBy((reply) => cookie().delete(reply))).toBe('thing=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0');
});

test('over HTTPS it is sent over nothing else, and no other host can set it', async () => {
  const secure = cookie('thing', { isHttps: true });
  expect(await setBy((reply) => secure.set(reply, { of: 'Ada' }, NOW + 60))).toMatch(
    /^__Host-thing=[\w.-]+; Path=\/; HttpOnly; SameSite=Lax; Secure$/,
  );
  expect(await secure.open(await sealed())).toBeUndefined();
});

test('it ends at its time', async () => {
  const pair = await sealed();
  expect(await cookie().open(pair)).toMatchObject({ of: 'Ada' });
  const later = new ManualClock('2026-12-01T12:01:00Z');
  expect(await cookie('thing', { clock: later }).open(pair)).toBe('ended');
});

test('one that is changed, cut, of another name or of another secret is forged', async () => {
  const pair = await sealed();
  const [, text] = pair.split('=') as [string, string];
  const [header, , iv, content, tag] = text.split('.') as [string, string, string, string, string];
  const flipped = (part: string) => (part.startsWith('A') ? 'B' : 'A') + part.slice(1);
  const unsealed = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"of":"Eve"}').toString('base64url')}.`;
  for (const forged of [
    `${header}..${flipped(iv)}.${content}.${tag}`,
    `${header}..${iv}.${flipped(content)}.${tag}`,
    `${header}..${iv}.${content}.${flipped(tag)}`,
    `${header}..${iv}.${content}.${tag.slice(0, 8)}`,
    text.slice(0, -1),
    text.slice(0, 20),
    `${text}.x`,
    '',
    unsealed,
    (await sealed(cookie('other'))).split('=')[1]!,
    (await sealed(cookie('thing', { secrets: ['another of these'] }))).split('=')[1]!,
  ]) {
    expect([forged, await cookie().open(`thing=${forged}`)]).toEqual([forged, 'forged']);
  }
});

test('while one secret replaces the other, both open, and the first seals', async () => {
  const [old, both, next] = [['sixteen letters!'], ['another of these', 'sixteen letters!'], ['another of these']].map(
    (secrets) => cookie('thing', { secrets }),
  ) as [ReturnType<typeof cookie>, ReturnType<typeof cookie>, ReturnType<typeof cookie>];
  expect(await both.open(await sealed(old))).toMatchObject({ of: 'Ada' });
  expect(await next.open(await sealed(both))).toMatchObject({ of: 'Ada' });
  expect(await next.open(await sealed(old))).toBe('forged');
  expect(await both.open(await sealed(old, { of: 'Ada' }, NOW - 1))).toBe('ended');
});

test('what no browser would keep is not set', async () => {
  expect((await sealed(cookie(), { of: 'x'.repeat(2_900) })).length).toBeLessThanOrEqual(4_096);
  await expect(sealed(cookie(), { of: 'x'.repeat(3_000) })).rejects.toThrow(TooLarge);
});
