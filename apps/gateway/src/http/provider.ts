/** The OpenID provider, for what the gateway asks of it. */
import * as openid from 'openid-client';
import type { GatewayConfig } from '../definition.js';

/** How long the provider may take for one answer. */
export const ANSWER_SECONDS = 5;

/** How one of its clients finds its endpoints. */
export interface Provider {
  /** As they were found last: they are asked for once it can be reached. */
  known(): Promise<openid.Configuration>;
  /** As they are now, which says that it answers: before a browser is led there. */
  now(): Promise<openid.Configuration>;
}

export function providerFor(issuer: string, client: string, secret?: string): Provider {
  let found: Promise<openid.Configuration> | undefined;
  const now = () =>
    (found = openid
      .discovery(new URL(issuer), client, secret, undefined, {
        // The issuer may be of this machine alone. Signatures are looked at although TLS would do, since there may be none.
        execute: [openid.allowInsecureRequests, openid.enableNonRepudiationChecks],
        timeout: ANSWER_SECONDS,
      })
      .catch((error: unknown) => {
        found = undefined;
        throw error;
      }));
  return { known: () => found ?? now(), now };
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
    const { access_token: token } = await openid.clientCredentialsGrant(await provider.known(), { audience });
    return token;
  };
}
