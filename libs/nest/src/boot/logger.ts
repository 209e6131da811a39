/** Logs: pino, as JSON for machines or, on a terminal, as lines for people. */
import type { LoggerService } from '@nestjs/common';
import { type DestinationStream, type Logger, pino, stdSerializers } from 'pino';
import { isUnavailable, ServerRefusal } from '#runtime';
import { type BaseConfig, withoutPasswords } from '#service';

/**
 * The process's logger; it is a `Log` (#runtime). Lines for people need pino-pretty, a development dependency: where it
 * is absent they stay JSON. Writes are synchronous, so the last line before an exit is not lost.
 */
export async function createLog(
  name: string,
  config: Pick<BaseConfig, 'LOG_LEVEL' | 'LOG_PRETTY'>,
  destination?: DestinationStream,
): Promise<Logger> {
  const pretty = config.LOG_PRETTY ?? (process.stdout.isTTY && destination === undefined);
  return pino(
    { name, level: config.LOG_LEVEL, base: { pid: process.pid }, serializers: { err: serializeError } },
    destination ?? (pretty ? await prettyStream() : undefined) ?? pino.destination({ fd: 1, sync: true }),
  );
}

async function prettyStream(): Promise<DestinationStream | undefined> {
  const found = await import('pino-pretty').catch(() => undefined);
  return found?.default({ sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' });
}

/**
 * Drivers put connection strings into some errors: passwords are masked. A server that is away is logged at every
 * attempt, and the place in our code does not matter: such errors are one line without a stack.
 */
function serializeError(error: Error): object {
  const { message, stack, ...rest } = stdSerializers.err(error);
  if (isUnavailable(error) || error instanceof ServerRefusal) {
    return { type: rest.type, code: rest['code'], message: withoutPasswords(message) };
  }
  return { ...rest, message: withoutPasswords(message), stack: withoutPasswords(stack) };
}

/** Nest's own lines through pino. Nest's `log` level helps only to debug the wiring, so it becomes `debug`. */
export class NestLog implements LoggerService {
  constructor(private readonly target: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.target.debug({ context: rest.at(-1) }, String(message));
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.log(message, ...rest);
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.log(message, ...rest);
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.target.warn({ context: rest.at(-1) }, String(message));
  }

  error(message: unknown, ...rest: unknown[]): void {
    const err = message instanceof Error ? message : undefined;
    this.target.error({ err, context: rest.at(-1) }, err?.message ?? String(message));
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.error(message, ...rest);
  }
}
