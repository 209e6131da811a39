/** What the errors of KurrentDB's client mean to code that does not know KurrentDB. */
import { ServerRefusal, ServerUnavailable } from '#runtime';

/** Codes of gRPC: permission denied, unauthenticated. */
const NOT_ALLOWED = [7, 16];
/** Codes of gRPC: cancelled, deadline exceeded, aborted, internal, unavailable, data loss. */
const AWAY = [1, 4, 10, 13, 14, 15];
const AWAY_TYPES = ['cancelled', 'deadline-exceeded', 'not-leader', 'timeout', 'unavailable'];
/** Errors without a meaningful type or code: from a server that is starting, and from a cluster that cannot be found. */
const AWAY_MESSAGES = /server is not ready|failed to discover/i;

/** The same error as a ServerRefusal or a ServerUnavailable; any other error is returned as it is. */
export function translateError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof ServerRefusal || error instanceof ServerUnavailable) return error;
  const { type = '', code = -1 } = error as { type?: string; code?: number };
  const reason = reasonOf(error);
  const refusal = (remedy: string) =>
    new ServerRefusal(`KurrentDB refuses us (${reason}). ${remedy}`, { cause: error });

  if (type === 'access-denied' || NOT_ALLOWED.includes(code)) {
    return refusal('Correct the user and the password in the URL, or allow the user to write and read all streams.');
  }
  if (/certificate/i.test(reason)) {
    return refusal('Name the certificate authority with ?tlsCAFile= in the URL, or correct the certificate.');
  }
  if (/SSL routines|EPROTO/.test(reason)) {
    return refusal('Is the server insecure? Then the URL needs ?tls=false.');
  }
  if (AWAY_TYPES.includes(type) || AWAY.includes(code) || AWAY_MESSAGES.test(reason)) {
    return new ServerUnavailable(`KurrentDB is unavailable (${reason}).`, { cause: error });
  }
  return error;
}

/** The message in one line, without gRPC's empty note and without a full stop at the end. */
function reasonOf({ message }: Error): string {
  return message
    .replace(/\s+/g, ' ')
    .replace(/\s*\.?\s*(Resolution note:\s*)?$/, '')
    .trim();
}
