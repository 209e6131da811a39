import { expect, test } from 'vitest';
import { ManualClock } from '#runtime/testing';
import { ServerRefusal, ServerUnavailable, silentLog } from '#runtime';
import { MissingMigration } from './migrations.js';
import { reach } from './reach.js';

/** Reaches for a server that fails with each of `errors` in turn and then answers, while time goes by. */
async function reaching(errors: readonly unknown[], timeoutMs = 30_000) {
  const clock = new ManualClock();
  const said: string[] = [];
  const log = { ...silentLog, warn: (_: object, line: string) => said.push(line) };
  let attempts = 0;
  const attempt = async () => {
    if (attempts < errors.length) throw errors[attempts++];
    return 'it answers';
  };
  let ended = false;
  const reached = reach('MESSAGE_BUS_URL', attempt, { clock, log }, timeoutMs);
  const outcome = reached.catch((error: unknown) => error).finally(() => (ended = true));
  while (!ended) await clock.advance(500);
  return { outcome: await outcome, said, attempts };
}

const away = (message = 'No broker answered at kafka://larder:s3cret@h:9092') => new ServerUnavailable(message);
const forever = <T>(error: T) => Array.from({ length: 1_000 }, () => error);

test('a server that refuses us ends it at once, in the words of its adapter', async () => {
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

test('a server that is away is waited for, and the log says so every three seconds, without a password', async () => {
  const { outcome, said } = await reaching(Array.from({ length: 20 }, () => away()));
  expect(outcome).toBe('it answers');
  expect(said).toEqual(
    forever(
      'MESSAGE_BUS_URL: no server answers (No broker answered at kafka://larder:***@h:9092). Start it or correct the URL. Still trying.',
    ).slice(0, 4),
  );
});

test('a server that stays away is given up after the time allowed', async () => {
  const { outcome, attempts } = await reaching(forever(away('Nobody is there')), 2_000);
  expect(outcome).toMatchObject({
    exitCode: 69,
    message:
      'MESSAGE_BUS_URL: no server answered within 2000 ms (Nobody is there). Start the server or correct the URL.',
  });
  expect(attempts).toBe(5);
});

test('a migration may still come, and is wrong configuration when it does not', async () => {
  const missing = new MissingMigration('the database lacks the migration m1. Run `npm run migrate`.');
  expect(await reaching([missing, missing])).toMatchObject({
    outcome: 'it answers',
    said: [expect.stringContaining('m1')],
  });
  expect((await reaching(forever(missing), 2_000)).outcome).toMatchObject({
    exitCode: 78,
    message: 'MESSAGE_BUS_URL: the database lacks the migration m1. Run `npm run migrate`.',
  });
});

test('any other error is ours, and thrown as it is', async () => {
  const bug = new TypeError('undefined is not a function');
  expect(await reaching([bug])).toMatchObject({ outcome: bug, attempts: 1, said: [] });
});
