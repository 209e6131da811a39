/**
 * What the payment provider posts to `/webhooks/payments`, and how its origin is verified.
 *
 *   Larder-Signature: t=1767225600,v1=39fa52a7c3039d31e438bc7903e1ba5bb9f957ff110f46ff8c533dcb04ad804f
 *
 * `v1` is the HMAC-SHA256, in hex, of "<t>.<raw body>" under a secret that both sides know; `t` is the time of signing
 * in Unix seconds, which limits how long an intercepted request can be replayed. While a secret is being changed, the
 * sender may sign with the old and the new one, a v1 for each, and the receiver accepts both. This is Stripe's scheme:
 * https://docs.stripe.com/webhooks#verify-manually
 *
 * A webhook may come twice, late, out of order or never. What was asked of the provider would be found out without it;
 * what the provider does by itself comes in no other way.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { money, orderId } from '#contracts';
import type { PaymentCommand } from './domain/payment.js';
import type { ProviderPayment } from './provider.js';

/** An id that the provider gave. */
const providerId = z.string().regex(/^[!-~]{1,255}$/, 'An id of the provider is 1 to 255 printable ASCII characters.');

/** What a webhook says of a payment. Its type is in its status, too, and the two have to agree. */
const kinds = {
  'payment.authorized': z.object({
    orderId,
    status: z.literal('authorized'),
    authorizationId: providerId,
    authorized: money,
    expiresAt: z.iso
      .datetime()
      .refine((time) => Date.parse(time) >= 0, 'A hold does not end before 1970.')
      .optional()
      .describe('When the provider lets go of the hold by itself'),
  }),
  'payment.declined': z.object({
    orderId,
    status: z.literal('declined'),
    reason: z.enum(['declined', 'insufficient-funds', 'invalid-token', 'invalid-amount', 'canceled']),
  }),
  'payment.captured': takenPayment('captured'),
  'payment.voided': z.object({ orderId, status: z.literal('voided'), authorizationId: providerId.optional() }),
  // It stays captured when only a part was given back.
  'payment.refunded': takenPayment('captured', 'refunded'),
  'payment.disputed': z
    .object({
      orderId,
      status: z.enum(['captured', 'refunded', 'disputed']).default('disputed'),
      authorizationId: providerId.optional(),
      disputed: money.optional().describe('All that is disputed; without it, the whole payment'),
    })
    .transform((dispute) => ({ ...dispute, status: 'disputed' as const })),
} as const;

function takenPayment<Status extends 'captured' | 'refunded'>(...statuses: [Status, ...Status[]]) {
  return z.object({
    orderId,
    status: z.enum(statuses),
    authorizationId: providerId,
    captureId: providerId,
    captured: money,
    refunded: money,
  });
}

type Kind = keyof typeof kinds;
/** What the provider says of a payment in a webhook. */
export type WebhookData = z.infer<(typeof kinds)[Kind]>;

const isKind = (type: string): type is Kind => Object.hasOwn(kinds, type);

const shapes = Object.values(kinds).map((kind) => z.toJSONSchema(kind, { target: 'openapi-3.0', io: 'input' }));

/** `data` is undefined in a webhook of a kind that is not known here: providers add kinds as they like. */
export const webhook = z
  .object({
    id: providerId.describe('The same for every delivery of this webhook'),
    type: z
      .string()
      .min(1)
      .max(100)
      .describe(`What happened: ${Object.keys(kinds).join(', ')}; another kind is acknowledged, counted and ignored`),
    createdAt: z.iso.datetime(),
    data: z
      .unknown()
      .meta({ description: 'What the provider knew about the payment at that moment', anyOf: [...shapes, {}] }),
  })
  .transform(({ data, ...envelope }, context) => {
    if (!isKind(envelope.type)) return { ...envelope, data: undefined };
    const parsed = kinds[envelope.type].safeParse(data);
    for (const { path, message } of parsed.error?.issues ?? []) {
      const wrong =
        String(path[0]) === 'status' ? `A webhook of the type ${envelope.type} has another status.` : message;
      context.addIssue({ code: 'custom', path: ['data', ...path], message: wrong });
    }
    return { ...envelope, data: parsed.data };
  });

/** A webhook as the provider sends it. */
export interface Webhook {
  readonly id: string;
  readonly type: string;
  readonly createdAt: string;
  readonly data: WebhookData | ProviderPayment;
}

/** The command that records the provider's news in the payment; undefined when it is no verdict. */
export function commandOf(data: WebhookData | ProviderPayment): PaymentCommand | undefined {
  switch (data.status) {
    case 'authorized': {
      const { authorizationId, authorized: amount, expiresAt } = data;
      return { type: 'RecordAuthorized', authorizationId, amount, expiresAt };
    }
    case 'declined':
      return { type: 'RecordDeclined', reason: data.reason };
    case 'captured':
    case 'refunded': {
      const { authorizationId, captured, refunded } = data;
      return refunded.amountMinor > 0
        ? { type: 'RecordRefunded', authorizationId, captured, refunded }
        : { type: 'RecordCaptured', authorizationId, amount: captured };
    }
    case 'voided':
      return { type: 'RecordVoided', authorizationId: data.authorizationId };
    case 'disputed':
      return { type: 'RecordDisputed', authorizationId: data.authorizationId, amount: data.disputed };
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
 * Judges a request by its body as it came over the wire, before any parsing: 'forged' when no signature is of one of the
 * secrets, 'stale' when one is but was made more than `toleranceMs` milliseconds before or after `now`, 'malformed' when the header is
 * not a signature.
 */
export function verify(
  rawBody: string | Uint8Array,
  header: string | undefined,
  secrets: readonly string[],
  now: Date,
  toleranceMs = 5 * 60_000,
): SignatureVerdict {
  const fields = (header ?? '').split(',').map((field) => field.trim().split('='));
  const values = (name: string) => fields.flatMap(([key, value]) => (key === name && value ? [value] : []));
  const [t, ...more] = values('t');
  const signatures = values('v1').filter((hex) => /^[0-9a-f]{64}$/.test(hex));
  if (t === undefined || more.length > 0 || !/^\d{1,12}$/.test(t) || signatures.length === 0) return 'malformed';

  const expected = secrets.map((secret) => hmac(t, rawBody, secret));
  // Compared in constant time, which reveals nothing about where they differ.
  const isGenuine = (hex: string) => expected.some((each) => timingSafeEqual(Buffer.from(hex, 'hex'), each));
  if (!signatures.some(isGenuine)) return 'forged';
  return Math.abs(now.getTime() - Number(t) * 1000) > toleranceMs ? 'stale' : 'ok';
}

function hmac(t: string, body: string | Uint8Array, secret: string): Buffer {
  return createHmac('sha256', secret).update(`${t}.`).update(body).digest();
}
