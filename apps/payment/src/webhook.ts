/**
 * What the payment provider posts to `/webhooks/payments`, and how its origin is verified.
 *
 *   Larder-Signature: t=1767225600,v1=39fa52a7c3039d31e438bc7903e1ba5bb9f957ff110f46ff8c533dcb04ad804f
 *
 * `v1` is the HMAC-SHA256, in hex, of "<t>.<raw body>" under a secret that both sides know; `t` is the time of signing
 * in Unix seconds, which limits how long an intercepted request can be replayed. While a secret is being changed, the
 * sender signs with the old and the new one, a v1 for each. This is Stripe's scheme:
 * https://docs.stripe.com/webhooks#verify-manually
 *
 * A webhook is a hint and may come twice, late, out of order or never: it speeds up what would be found out anyway.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { money, orderId } from '#contracts';
import type { PaymentCommand } from './domain/payment.js';
import type { ProviderPayment } from './provider.js';

const providerPayment = z.discriminatedUnion('status', [
  z.object({ orderId, status: z.literal('pending') }),
  z.object({ orderId, status: z.literal('authorized'), authorizationId: z.string(), authorized: money }),
  z.object({
    orderId,
    status: z.literal('declined'),
    reason: z.enum(['declined', 'insufficient-funds', 'invalid-token', 'invalid-amount', 'canceled']),
  }),
  z.object({
    orderId,
    status: z.enum(['captured', 'refunded']),
    authorizationId: z.string(),
    captureId: z.string(),
    captured: money,
    refunded: money,
  }),
  z.object({ orderId, status: z.literal('voided'), authorizationId: z.string().optional() }),
]) satisfies z.ZodType<ProviderPayment>;

export const webhook = z.object({
  id: z.string().describe('The same for every delivery of this webhook'),
  type: z.enum(['payment.authorized', 'payment.declined', 'payment.captured', 'payment.voided', 'payment.refunded']),
  createdAt: z.iso.datetime(),
  data: providerPayment.describe('What the provider knew about the payment at that moment'),
});

export type Webhook = z.infer<typeof webhook>;

/** The command that records the provider's news in the payment; undefined when it is no verdict. */
export function commandOf(data: ProviderPayment): PaymentCommand | undefined {
  switch (data.status) {
    case 'authorized':
      return { type: 'RecordAuthorized', authorizationId: data.authorizationId, amount: data.authorized };
    case 'declined':
      return { type: 'RecordDeclined', reason: data.reason };
    case 'captured':
      return { type: 'RecordCaptured' };
    case 'refunded':
      return { type: 'RecordRefunded' };
    case 'voided':
      return { type: 'RecordVoided', authorizationId: data.authorizationId };
    case 'pending':
      return undefined;
  }
}

export const SIGNATURE_HEADER = 'larder-signature';

/** The header's value for a body. */
export function sign(body: string | Uint8Array, secret: string, now: Date): string {
  const t = String(Math.floor(now.getTime() / 1000));
  return `t=${t},v1=${hmac(t, body, secret).toString('hex')}`;
}

export type SignatureVerdict = 'ok' | 'malformed' | 'forged' | 'stale';

/**
 * Judges a request by its body as it came over the wire, before any parsing: 'forged' when no signature matches, 'stale'
 * when one does but was made more than `toleranceMs` milliseconds before or after `now`, 'malformed' when the header is
 * not a signature.
 */
export function verify(
  rawBody: string | Uint8Array,
  header: string | undefined,
  secret: string,
  now: Date,
  toleranceMs = 5 * 60_000,
): SignatureVerdict {
  const fields = (header ?? '').split(',').map((field) => field.trim().split('='));
  const values = (name: string) => fields.flatMap(([key, value]) => (key === name && value ? [value] : []));
  const [t, ...more] = values('t');
  const signatures = values('v1').filter((hex) => /^[0-9a-f]{64}$/.test(hex));
  if (t === undefined || more.length > 0 || !/^\d{1,12}$/.test(t) || signatures.length === 0) return 'malformed';

  const expected = hmac(t, rawBody, secret);
  // Compared in constant time, which reveals nothing about where they differ.
  if (!signatures.some((hex) => timingSafeEqual(Buffer.from(hex, 'hex'), expected))) return 'forged';
  return Math.abs(now.getTime() - Number(t) * 1000) > toleranceMs ? 'stale' : 'ok';
}

function hmac(t: string, body: string | Uint8Array, secret: string): Buffer {
  return createHmac('sha256', secret).update(`${t}.`).update(body).digest();
}
