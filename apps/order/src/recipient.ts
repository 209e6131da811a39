/**
 * Who an order is sent to. A recipient is sealed where it comes in and opened where an authorized answer goes out: events,
 * read models, snapshots, dumps and logs carry what only the customer's key opens.
 *
 *   1.<kid>.<iv>.<ciphertext>.<tag>      AES-256-GCM, base64url; the customer and the order are authenticated with it
 *
 * The same recipient sealed twice is two texts, so a request that is repeated is compared by a digest, under a key that is
 * derived from the customer's: with that key the digest, too, says nothing any more.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { CannotOpen } from '#service';
import type { CustomerKey } from './customer-keys/port.js';

export interface Recipient {
  readonly name: string;
  readonly email: string;
  readonly address: {
    readonly street: string;
    readonly postalCode: string;
    readonly city: string;
    /** ISO 3166-1 alpha-2. */
    readonly country: string;
  };
}

/** Whose recipient it is, and in which order: sealed for one, it opens for no other. */
export interface RecipientOf {
  readonly customerId: string;
  readonly orderId: string;
}

const VERSION = '1';

export function sealRecipient(recipient: Recipient, { kid, secret }: CustomerKey, of: RecipientOf): string {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', secret, iv);
  cipher.setAAD(aadOf(kid, of));
  const sealed = Buffer.concat([cipher.update(textOf(recipient)), cipher.final()]);
  return [VERSION, kid, ...[iv, sealed, cipher.getAuthTag()].map((part) => part.toString('base64url'))].join('.');
}

/** @throws CannotOpen */
export function openRecipient(text: string, { kid, secret }: CustomerKey, of: RecipientOf): Recipient {
  const { kid: sealedWith, parts } = partsOf(text);
  if (sealedWith !== kid) throw new CannotOpen('It was sealed with another key.');
  try {
    const [iv, sealed, tag] = parts.map((part) => Buffer.from(part, 'base64url')) as [Buffer, Buffer, Buffer];
    const decipher = createDecipheriv('aes-256-gcm', secret, iv, { authTagLength: 16 });
    decipher.setAAD(aadOf(kid, of)).setAuthTag(tag);
    return JSON.parse(Buffer.concat([decipher.update(sealed), decipher.final()]).toString()) as Recipient;
  } catch (cause) {
    throw new CannotOpen('It is damaged, or was sealed for another customer or order.', { cause });
  }
}

/** The key that a recipient is sealed with. @throws CannotOpen */
export function kidOf(text: string): string {
  return partsOf(text).kid;
}

/** What a repeated request is compared by. */
export function digestOf(recipient: Recipient, { secret }: CustomerKey, { orderId }: RecipientOf): string {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'larder recipient digest', 32));
  return createHmac('sha256', key).update(`${orderId}\n`).update(textOf(recipient)).digest('base64url');
}

function partsOf(text: string): { readonly kid: string; readonly parts: readonly string[] } {
  const [version, kid, ...parts] = text.split('.');
  if (version !== VERSION || !kid || parts.length !== 3)
    throw new CannotOpen('It is sealed in a way that is not known here.');
  return { kid, parts };
}

function aadOf(kid: string, { customerId, orderId }: RecipientOf): Buffer {
  return Buffer.from(JSON.stringify([VERSION, kid, customerId, orderId]));
}

/** The same for the same recipient, in whatever order its members came. */
function textOf({ name, email, address: { street, postalCode, city, country } }: Recipient): string {
  return JSON.stringify({ name, email, address: { street, postalCode, city, country } });
}
