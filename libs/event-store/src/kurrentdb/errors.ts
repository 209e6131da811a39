/** What the errors of KurrentDB's client mean to those who know no KurrentDB. */
import { ServerRefusal, ServerUnavailable } from '#runtime';

/** Codes of gRPC: permission denied, unauthenticated. */
const NOT_ALLOWED = [7, 16];
/** Codes of gRPC: cancelled, deadline exceeded, aborted, internal, unavailable, data loss. */
const AWAY = [1, 4, 10, 13, 14, 15];
const AWAY_TYPES = ['cancelled', 'deadline-exceeded', 'not-leader', 'timeout', 'unavailable'];
/** What comes without a telling type or code: from a server that starts, and from a cluster that is not there. */
const AWAY_MESSAGES = /server is not ready|failed to discover/i;

/** The same trouble as a ServerRefusal or a ServerUnavailable; anything else stays as it is. */
export function translated(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof ServerRefusal || error instanceof ServerUnavailable) return error;
  const { type = '', code = -1 } = error as { type?: string; code?: number };
  const reason = reasonOf(error);
  const refusal = (remedy: string) =>
    new ServerRefusal(`KurrentDB refuses us (${reason}). ${remedy}`, { cause: error });

  if (type === 'access-denied' || NOT_ALLOWED.includes(code)) {
    return refusal('Correct the user and the password in the URL, or let the user write and read all streams.');
  }
  if (/certificate/i.test(reason)) {
    return refusal('Name the authority that signed it with ?tlsCAFile= in the URL, or correct the certificate.');
  }
  if (/SSL routines|EPROTO/.test(reason)) {
    return refusal('Is the server insecure? Then the URL needs ?tls=false.');
  }
  if (AWAY_TYPES.includes(type) || AWAY.includes(code) || AWAY_MESSAGES.test(reason)) {
    return new ServerUnavailable(`KurrentDB does not answer as it should (${reason}).`, { cause: error });
  }
  return error;
}

/** In one line, without gRPC's empty remark and without a full stop at the end. */
function reasonOf({ message }: Error): string {
  return message
    .replace(/\s+/g, ' ')
    .replace(/\s*\.?\s*(Resolution note:\s*)?$/, '')
    .trim();
}
