/**
 * Positions of several services (see position.ts of #nest), and their signed form for a cookie: `inventory:7&order:11.<HMAC>`.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Service, services } from '../../shop.js';

/** By service. */
export type Positions = ReadonlyMap<string, bigint>;

export const noPositions: Positions = new Map();

/** Longer than the positions of ten services and a signature. */
const MAX_LENGTH = 500;

const ENTRY = /^\s*([a-z][a-z0-9-]*):(\d{1,19})\s*$/;

/** The positions of a `Larder-Position`, the highest of each service. What is none is left out. */
export function parsePositions(text: string, separator = ','): Positions {
  const positions = new Map<string, bigint>();
  for (const entry of text.split(separator)) {
    const [, service, digits] = ENTRY.exec(entry) ?? [];
    if (service !== undefined) raise(positions, service, BigInt(digits!));
  }
  return positions;
}

/** Whether a `Larder-Position` is what the services take: an empty one is not. */
export function areWellFormed(text: string): boolean {
  return text.split(',').every((entry) => services.includes(ENTRY.exec(entry)?.[1] as Service));
}

export function formatPositions(positions: Positions, separator = ', '): string {
  return [...positions]
    .map(([service, position]) => `${service}:${position}`)
    .sort()
    .join(separator);
}

/** The highest position of each service. */
export function highestOf(...all: readonly Positions[]): Positions {
  const highest = new Map<string, bigint>();
  for (const positions of all) for (const [service, position] of positions) raise(highest, service, position);
  return highest;
}

function raise(positions: Map<string, bigint>, service: string, position: bigint): void {
  if (position >= (positions.get(service) ?? 0n)) positions.set(service, position);
}

export function areEqual(some: Positions, others: Positions): boolean {
  return some.size === others.size && [...some].every(([service, position]) => others.get(service) === position);
}

/** Signs with the first secret, and accepts what was signed with any. `name` is that of the cookie. */
export function sealPositions(positions: Positions, name: string, [secret]: readonly string[]): string {
  const text = formatPositions(positions, '&');
  return `${text}.${signatureOf(text, name, secret!).toString('base64url')}`;
}

/** Undefined when no such secret has signed it for this name. */
export function openPositions(sealed: string, name: string, secrets: readonly string[]): Positions | undefined {
  if (sealed.length > MAX_LENGTH) return undefined;
  const [text = '', signature = ''] = sealed.split('.', 2);
  const given = Buffer.from(signature, 'base64url');
  const isOurs = secrets.some((secret) => {
    const expected = signatureOf(text, name, secret);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  return isOurs ? parsePositions(text, '&') : undefined;
}

function signatureOf(text: string, name: string, secret: string): Buffer {
  return createHmac('sha256', secret).update(`${name}\n${text}`).digest();
}
