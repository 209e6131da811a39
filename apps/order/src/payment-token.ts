/**
 * What becomes of a customer's payment token where it comes in: events, messages, dead letters, snapshots and logs carry
 * what payment alone can open.
 *
 * The same token sealed twice is two texts, so a request that is repeated is compared by a digest. It has a key: whoever
 * reads the log could otherwise try tokens until one fits, as those of a test provider can be guessed. And the order is in
 * it: that two orders were paid with one card is nobody's business.
 */
import { createHmac } from 'node:crypto';
import { sealer, type SealingKey } from '#service';

export interface TokenKeys {
  /** The payment service's public key. */
  readonly sealingKey: SealingKey;
  /** The first makes digests; those of the others are recognized. */
  readonly digestSecrets: readonly string[];
}

export interface TokenInOrder {
  readonly paymentToken: string;
  readonly tokenDigest: string;
  readonly olderDigests: readonly string[];
}

export function tokenSealer({
  sealingKey,
  digestSecrets,
}: TokenKeys): (token: string, orderId: string) => TokenInOrder {
  const seal = sealer(sealingKey);
  return (token, orderId) => {
    const digests = digestSecrets.map((secret) => digestOf(token, orderId, secret));
    const [tokenDigest, ...older] = digests as [string, ...string[]];
    // Last: of an order from before tokens were sealed, whose digest is the token itself.
    return { paymentToken: seal(token, orderId), tokenDigest, olderDigests: [...older, token] };
  };
}

function digestOf(token: string, orderId: string, secret: string): string {
  return createHmac('sha256', secret).update(`${orderId}\n`).update(token).digest('base64url');
}
