import { expect, test } from 'vitest';
import { ManualClock } from '#runtime/testing';
import { ServerRefusal, ServerUnavailable, silentLog } from '#runtime';
import { MissingMigration } from './migrations.js';
import { reach } from './reach.js';

/** Reaches for a server that fails with each of `errors` in turn and then answers, while time passes. */
async function reaching(errors: readonly unknown[], timeoutMs = 30_000) {
  const clock = new ManualClock();
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (_: object, line: string) => warnings.push(line) };
  let attempts = 0;
  const attempt = async () => {
    if (attempts < errors.length) throw errors[attempts++];
    return 'it answers';
  };
  let ended = false;
  const reached = reach('MESSAGE_BUS_URL', attempt, { clock, log }, timeoutMs);
  const outcome = reached.catch((error: unknown) => error).finally(() => (ended = true));
  while (!ended) await clock.advance(500);
  return { outcome: await outcome, warnings, attempts };
}

const away = (message = 'No broker answered at kafka://larder:s3cret@h:9092') => new ServerUnavailable(message);
const repeat = <T>(error: T) => Array.from({ length: 1_000 }, () => error);

test('a server that refuses us ends it at once, with the message of its adapter', async () => {
  const refusal = new ServerRefusal(
    'The topic order.events.v1 is missing at kafka://larder:s3cret@h. Run `npm run topics`.',
  );
  expect(await reaching([away(), refusal])).toMatchObject({
    outcome: {
      name: 'StartError',
      exitCode: 78,
      message: 'MESSAGE_BUS_URL: The topic order.events.v1 is missing at kafka://larder:***@h. Run `npm run topics`.',
    },
    attempts: 2,
  });
});

test('an unreachable server is waited for, and the log reports it every three seconds, without a password', async () => {
  const { outcome, warnings } = await reaching(Array.from({ length: 20 }, () => away()));
  expect(outcome).toBe('it answers');
  expect(warnings).toEqual(
    repeat(
      'MESSAGE_BUS_URL: no server answers (No broker answered at kafka://larder:***@h:9092). Start it or correct the URL. Still trying.',
    ).slice(0, 4),
  );
});

test('a file that the URL names and that is not there ends it at once', async () => {
  const missing = Object.assign(new Error("ENOENT: no such file or directory, open '/nowhere/ca.pem'"), {
    code: 'ENOENT',
  });
  expect(await reaching([missing])).toMatchObject({
    outcome: {
      exitCode: 78,
      message:
        "MESSAGE_BUS_URL: a file that the URL names cannot be read (ENOENT: no such file or directory, open '/nowhere/ca.pem'). Correct the URL.",
    },
    attempts: 1,
  });
});

test('an unreachable server is given up after the timeout', async () => {
  const { outcome, attempts } = await reaching(repeat(away('Nobody is there')), 2_000);
  expect(outcome).toMatchObject({
    exitCode: 69,
    message:
      'MESSAGE_BUS_URL: no server answered within 2000 ms (Nobody is there). Start the server or correct the URL.',
  });
  expect(attempts).toBe(5);
});

test('a missing migration is waited for, and is wrong configuration after the timeout', async () => {
  const missing = new MissingMigration('the database lacks the migration m1. Run `npm run migrate`.');
  expect(await reaching([missing, missing])).toMatchObject({
    outcome: 'it answers',
    warnings: [expect.stringContaining('m1')],
  });
  expect((await reaching(repeat(missing), 2_000)).outcome).toMatchObject({
    exitCode: 78,
    message: 'MESSAGE_BUS_URL: the database lacks the migration m1. Run `npm run migrate`.',
  });
});

test('any other error is a bug, and thrown as it is', async () => {
  const bug = new TypeError('undefined is not a function');
  expect(await reaching([bug])).toMatchObject({ outcome: bug, attempts: 1, warnings: [] });
});
