/** The OpenID provider, for what the gateway asks of it. */
import * as openid from 'openid-client';
import type { GatewayConfig } from '../definition.js';

/** How long the provider may take for one answer. */
export const ANSWER_SECONDS = 5;

/** How one of its clients finds its endpoints, which are asked for once it can be reached. */
export function providerFor(issuer: string, client: string, secret?: string): () => Promise<openid.Configuration> {
  let found: Promise<openid.Configuration> | undefined;
  return () =>
    (found ??= openid
      .discovery(new URL(issuer), client, secret, undefined, {
        // The issuer may be of this machine alone. Signatures are looked at although TLS would do, since there may be none.
        execute: [openid.allowInsecureRequests, openid.enableNonRepudiationChecks],
        timeout: ANSWER_SECONDS,
      })
      .catch((error: unknown) => {
        found = undefined;
        throw error;
      }));
}

/** How the gateway gets a token of its own, as a machine; undefined when it has no name and secret at the provider. */
export function ownToken({
  AUTH_ISSUER: issuer,
  AUTH_AUDIENCE: audience,
  GATEWAY_CLIENT_ID: client,
  GATEWAY_CLIENT_SECRET: secret,
}: GatewayConfig): (() => Promise<string>) | undefined {
  if (client === undefined || secret === undefined) return undefined;
  const provider = providerFor(issuer, client, secret);
  return async () => {
    // Auth0 takes the audience by this name.
    const { access_token: token } = await openid.clientCredentialsGrant(await provider(), { audience });
    return token;
  };
}
