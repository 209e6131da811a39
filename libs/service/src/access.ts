/**
 * Who may call what. Each service has a table of its operations. A row says for whom a route is, and whose things each of
 * them reaches through it:
 *
 *   'POST /orders/:orderId/cancel': { customer: 'own', clerk: 'any' }
 *   'POST /webhooks/payments': 'anyone'
 *
 * A route without a row, and a row without a route, stop the start. The table decides by route and role; whose a thing is,
 * only the thing knows, so a handler hands the caller's name on to where it is decided.
 */

/** A person may have several. `service` is a machine, such as one that reads the metrics. */
export const roles = ['customer', 'clerk', 'operator', 'service'] as const;
export type Role = (typeof roles)[number];

/** `own`: only what is the caller's own. */
export type Whose = 'own' | 'any';

/** A route for anyone reads no token. */
export type AccessRule = 'anyone' | Readonly<Partial<Record<Role, Whose>>>;

/** By operation, as the router has it: `GET /orders/:orderId`, which a HEAD is, too. */
export type AccessTable = Readonly<Record<string, AccessRule>>;

/** Whose token it is. */
export interface Identity {
  /** The token's `sub`: the one name of a person or machine at the issuer. */
  readonly subject: string;
  readonly roles: readonly Role[];
}

/** Somebody whom the route is for. */
export interface Caller extends Identity {
  readonly whose: Whose;
}

/** The caller that somebody is on a route; undefined when it is not for them. Of several roles, the one that reaches furthest counts. */
export function callerOf({ subject, roles }: Identity, rule: Exclude<AccessRule, 'anyone'>): Caller | undefined {
  const whose = (['any', 'own'] as const).find((reach) => roles.some((role) => rule[role] === reach));
  return whose && { subject, roles, whose };
}
