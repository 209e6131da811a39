/**
 * The keys that the OpenID provider signs with, in a file that only its owner can read.
 *
 * A key is published before it signs, so that a service whose copy of the keys is too young to be fetched again has it by
 * then; and it stays published until the last token that it has signed has expired. So nobody is refused for a rotation.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { z } from 'zod';
import type { Clock } from '#runtime';
import { Advice } from './advice.js';

export const ALGORITHM = 'ES256';

/** How long a token is valid. */
export const TOKEN_LIFETIME_S = 60 * 60;

/** Longer than a verifier refuses to fetch the keys again: jose waits 30 s between two fetches. */
export const PUBLISHED_BEFORE_MS = 2 * 60_000;

/** Clocks differ. */
const TOLERANCE_MS = 60_000;

const privateKey = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: z.string(),
  y: z.string(),
  d: z.string(),
  kid: z.string(),
  alg: z.literal(ALGORITHM),
  use: z.literal('sig'),
});
export type PrivateKey = z.infer<typeof privateKey>;

/** From the oldest to the newest. */
const keyFile = z.array(z.strictObject({ signsFrom: z.iso.datetime(), key: privateKey })).min(1);
type StoredKey = z.infer<typeof keyFile>[number];

const fileIn = (folder: string) => join(folder, 'keys.json');

/** The keys to publish; the first is the one that signs now. A folder without keys gets one. */
export async function signingKeys(folder: string, clock: Clock): Promise<[PrivateKey, ...PrivateKey[]]> {
  if (!existsSync(fileIn(folder))) await addKey(folder, clock.now());
  const nowMs = clock.now().getTime();
  const keys = published(read(folder), nowMs);
  const signing = keys.findLast(({ signsFrom }) => Date.parse(signsFrom) <= nowMs) ?? keys[0]!;
  return [signing.key, ...keys.filter((each) => each !== signing).map(({ key }) => key)];
}

/** Adds a key, and forgets those whose tokens have expired. Returns when the new one begins to sign. */
export async function rotateKeys(folder: string, clock: Clock): Promise<Date> {
  const isFirst = !existsSync(fileIn(folder));
  const signsFrom = new Date(clock.now().getTime() + (isFirst ? 0 : PUBLISHED_BEFORE_MS));
  await addKey(folder, signsFrom, isFirst ? [] : published(read(folder), clock.now().getTime()));
  return signsFrom;
}

async function addKey(folder: string, signsFrom: Date, others: readonly StoredKey[] = []): Promise<void> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { extractable: true });
  const jwk = await exportJWK(privateKey);
  const key = { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: ALGORITHM, use: 'sig' } as PrivateKey;
  const keys = [...others, { signsFrom: signsFrom.toISOString(), key }];
  writePrivately(fileIn(folder), `${JSON.stringify(keys, undefined, 2)}\n`);
}

/** A key's last token is signed when its successor begins. */
function published(keys: readonly StoredKey[], nowMs: number): StoredKey[] {
  return keys.filter((_, i) => {
    const successor = keys[i + 1];
    return !successor || Date.parse(successor.signsFrom) + TOKEN_LIFETIME_S * 1_000 + TOLERANCE_MS > nowMs;
  });
}

/** @throws Advice when the file holds something else */
function read(folder: string): StoredKey[] {
  const file = fileIn(folder);
  try {
    return keyFile.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw new Advice(
      `${file} does not hold the keys of the OpenID provider. Delete it, and the provider makes a new key: tokens from before are then refused.`,
      { cause: error },
    );
  }
}

/** Writes a file that nobody else can read, all at once: nobody finds half of it. */
export function writePrivately(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  chmodSync(dirname(file), 0o700);
  const draft = `${file}.new`;
  rmSync(draft, { force: true }); // One that is left over keeps its mode.
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, file);
}
