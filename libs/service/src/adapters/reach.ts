/** Waits for a server, and reports in one line what is wrong: while it may still come up, and when it did not. */
import { isUnavailable, type Runtime, ServerRefusal } from '#runtime';
import { StartError, withoutPasswords } from '../config.js';
import { MissingMigration } from './migrations.js';

/** Postgres: wrong password or role, no such database, no right to it. */
const POSTGRES_REFUSALS = /^(28...|3D000|42501)$/;

/** A file that a URL names, such as the authority's certificate. */
const NO_FILE = /^(ENOENT|EACCES|EISDIR)$/;

const RETRY_MS = 500;
const WARN_EVERY_MS = 3_000;

/**
 * Repeats `attempt` while its server is unreachable, or its database is not migrated, for up to `timeoutMs` milliseconds.
 * @throws StartError that names `variable`: 69 when no server answered, 78 when it refuses us or lacks a migration
 */
export async function reach<T>(
  variable: string,
  attempt: () => Promise<T>,
  { clock, log }: Pick<Runtime, 'clock' | 'log'>,
  timeoutMs: number,
): Promise<T> {
  const startedMs = clock.monotonicMs();
  let warnedMs = startedMs - WARN_EVERY_MS;
  while (true) {
    try {
      return await attempt();
    } catch (error) {
      const { message, code = '' } = error as { message?: string; code?: string };
      const why = withoutPasswords(message || code);
      const fail = (text: string, exitCode: 78 | 69) =>
        new StartError(`${variable}: ${text}`, exitCode, { cause: error });

      if (error instanceof ServerRefusal) throw fail(why, 78);
      if (POSTGRES_REFUSALS.test(code)) {
        throw fail(`the server refuses us (${why}). Correct the URL, or the server.`, 78);
      }
      if (NO_FILE.test(code)) throw fail(`a file that the URL names cannot be read (${why}). Correct the URL.`, 78);
      const unmigrated = error instanceof MissingMigration;
      if (!unmigrated && !isUnavailable(error)) throw error;
      const nowMs = clock.monotonicMs();
      if (nowMs - startedMs >= timeoutMs) {
        if (unmigrated) throw fail(why, 78);
        throw fail(`no server answered within ${timeoutMs} ms (${why}). Start the server or correct the URL.`, 69);
      }
      if (nowMs - warnedMs >= WARN_EVERY_MS) {
        warnedMs = nowMs;
        const trouble = unmigrated ? why : `no server answers (${why}). Start it or correct the URL.`;
        log.warn({ variable }, `${variable}: ${trouble} Still trying.`);
      }
      await clock.sleep(RETRY_MS);
    }
  }
}
