/** What can be wrong with a server that we need, whatever its driver. Adapters translate their drivers' errors into these. */

/** It does not answer, is starting, or cut us off: trying again later may help. */
export class ServerUnavailable extends Error {
  override readonly name = 'ServerUnavailable';
}

/**
 * It answers, but cannot serve us as it is: wrong credentials, a missing topic, a version that is too old. Only a person
 * can fix that, so the message states in one line what is wrong and what to do.
 */
export class ServerRefusal extends Error {
  override readonly name = 'ServerRefusal';
}

/**
 * Codes that mean the same, for `isUnavailable`: Node's network errors; Postgres' connection exceptions (class 08),
 * shutting down, starting up, too many connections; Prisma's P…
 */
const UNAVAILABLE_CODES =
  /^(ECONN(REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENETDOWN|08...|57P0[1-5]|53300|P1001|P1002|P1008|P1017|P2024)$/;

/** Messages of errors without a code, from pg, its pool and Prisma's adapter for pg. */
const UNAVAILABLE_MESSAGES =
  /Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|connection timeout|Query read timeout|session is closed/i;

/** `kind`s of the errors of Prisma's driver adapters. */
const UNAVAILABLE_KINDS = new Set(['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout', 'TooManyConnections']);

/** Whether an error, or one that it wraps, means that a server is away, starting or cut off: trying again later may help. */
export function isUnavailable(error: unknown, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > 5) return false;
  const { code, message, kind, cause, errors, meta } = error as Record<string, unknown>;
  return (
    error instanceof ServerUnavailable ||
    (typeof code === 'string' && UNAVAILABLE_CODES.test(code)) ||
    (error instanceof Error && typeof message === 'string' && UNAVAILABLE_MESSAGES.test(message)) ||
    (typeof kind === 'string' && UNAVAILABLE_KINDS.has(kind)) ||
    isUnavailable(cause, depth + 1) ||
    isUnavailable((meta as { driverAdapterError?: unknown } | undefined)?.driverAdapterError, depth + 1) || // Prisma's
    (Array.isArray(errors) && errors.some((each) => isUnavailable(each, depth + 1)))
  );
}
