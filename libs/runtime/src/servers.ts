/** What can be wrong with a server that we need, whatever its driver. Adapters translate their drivers' errors into these. */
import type { Socket } from 'node:net';

/** It does not answer, is starting, cut us off, or cannot do its work at the moment: trying again later may help. */
export class ServerUnavailable extends Error {
  override readonly name: string = 'ServerUnavailable';
}

/**
 * It answers, but cannot serve us as it is: wrong credentials, a missing topic, a version that is too old. Only a person
 * can fix that, so the message states in one line what is wrong and what to do.
 */
export class ServerRefusal extends Error {
  override readonly name = 'ServerRefusal';
}

/** Others were in the way, and nothing was done: trying again later may help. */
export class Busy extends Error {}

/** Codes that mean the same, for `isUnavailable`. */
const UNAVAILABLE_CODES = new RegExp(
  `^(${[
    // Node's network errors.
    'ECONN(REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENETDOWN',
    // Postgres: connection exceptions (08), starting up or shutting down (57P0).
    '08...|57P0[1-5]',
    // It takes no writes, as the former primary does after a failover; ended a transaction that was idle or took too long.
    '25006|25P0[34]',
    // Others were in the way: a deadlock, no lock, no answer within the time that the database allows a statement.
    '40001|40P01|55P03|57014',
    // It has no room, memory or connections left (53), or its disk fails (58).
    '53...|58...',
    // Prisma's.
    'P1001|P1002|P1008|P1017|P2024',
  ].join('|')})$`,
);

/** Messages of errors without a code, from pg, its pool and Prisma's adapter for pg. */
const UNAVAILABLE_MESSAGES =
  /Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|connection timeout|Query read timeout|session is closed/i;

/** `kind`s of the errors of Prisma's driver adapters. */
const UNAVAILABLE_KINDS = new Set(['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout', 'TooManyConnections']);

/**
 * Whether an error, or one that it wraps, means that a server is away, starting, cut off, busy or unable to do its work at
 * the moment. It says nothing about what was asked of the server: trying the same again later may help.
 */
export function isUnavailable(error: unknown, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > 5) return false;
  const { code, message, kind, cause, errors, meta } = error as Record<string, unknown>;
  return (
    error instanceof ServerUnavailable ||
    error instanceof Busy ||
    (typeof code === 'string' && UNAVAILABLE_CODES.test(code)) ||
    (error instanceof Error && typeof message === 'string' && UNAVAILABLE_MESSAGES.test(message)) ||
    (typeof kind === 'string' && UNAVAILABLE_KINDS.has(kind)) ||
    isUnavailable(cause, depth + 1) ||
    isUnavailable((meta as { driverAdapterError?: unknown } | undefined)?.driverAdapterError, depth + 1) || // Prisma's
    (Array.isArray(errors) && errors.some((each) => isUnavailable(each, depth + 1)))
  );
}

/**
 * Makes what a driver throws while it reads from a socket end that connection, with this error. It is thrown in no promise
 * and in no call of ours, so that a server which sends nonsense would otherwise end the process. What arrives may be
 * changed on its way to the driver: `receive` delivers it.
 */
export function endOnNonsense(
  socket: Socket,
  receive = (bytes: Buffer, deliver: (bytes: Buffer) => void) => deliver(bytes),
): void {
  const emit = socket.emit.bind(socket) as (event: string, ...values: unknown[]) => boolean;
  const deliver = (bytes: Buffer) => void emit('data', bytes);
  socket.emit = ((event: string, ...values: unknown[]) => {
    if (event !== 'data') return emit(event, ...values);
    try {
      receive(values[0] as Buffer, deliver);
    } catch (error) {
      socket.destroy(error as Error);
    }
    return true;
  }) as Socket['emit'];
}
