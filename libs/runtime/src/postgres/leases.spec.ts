import { expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import { leaseSession, PostgresLeases, PostgresSession } from '#runtime/postgres';
import { silentLog, supervise, SystemClock, untilAborted } from '#runtime';
import { ManualClock, SeededRandom } from '#runtime/testing';

test('a lease has one holder, and the next takes over when the connection of the first breaks', async () => {
  const url = await freshDatabase();
  const clock = new SystemClock();
  const first = new PostgresSession(url, clock);
  const second = new PostgresSession(url, clock);
  const stop = new AbortController();
  const holders: string[] = [];
  let begun = () => {};
  const firstBegan = new Promise<void>((resolve) => (begun = resolve));
  const firstWork = new PostgresLeases(first, clock, 20).hold('relay', stop.signal, async (lease) => {
    holders.push('first');
    begun();
    await new Promise((resolve) => lease.addEventListener('abort', resolve));
  });
  await firstBegan;
  const secondWork = new PostgresLeases(second, clock, 20).hold('relay', stop.signal, async () => {
    holders.push('second');
  });
  await clock.sleep(100);
  expect(holders).toEqual(['first']);

  await first.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => {});
  await Promise.all([firstWork, secondWork]);
  expect(holders).toEqual(['first', 'second']);
  await Promise.all([first.close(), second.close()]);
});

test('a lease that is won after a broken session is given back when its work ends, so that another can have it', async () => {
  const url = await freshDatabase();
  const clock = new SystemClock();
  const [first, second] = [new PostgresSession(url, clock), new PostgresSession(url, clock)];
  const stop = new AbortController();
  const firstLeases = new PostgresLeases(first, clock, 20);
  const secondLeases = new PostgresLeases(second, clock, 20);
  const until = async (done: () => boolean) => {
    while (!done()) await clock.sleep(5);
  };

  let holding = false;
  let letGo = () => {};
  const firstWork = firstLeases.hold('relay', stop.signal, async () => {
    holding = true;
    await new Promise<void>((resolve) => (letGo = resolve));
  });
  await until(() => holding);

  // The second waits while its session breaks, and wins on the session that follows.
  let worked: AbortSignal | undefined;
  const holdSecond = (): Promise<void> =>
    secondLeases
      .hold('relay', stop.signal, async (lease) => {
        worked = lease;
        throw new Error('It cannot reach the bus.');
      })
      // It may ask on the session just as that breaks; then its supervisor lets it ask again.
      .catch((error: unknown) => (worked ? Promise.reject(error as Error) : holdSecond()));
  const secondWork = holdSecond();
  let broken = false;
  second.onLost(() => (broken = true));
  await second.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => {});
  await until(() => broken);
  letGo();
  await firstWork;
  await expect(secondWork).rejects.toThrow('cannot reach the bus');
  expect(worked?.aborted).toBe(false);

  let again = false;
  await firstLeases.hold('relay', AbortSignal.timeout(5_000), async () => void (again = true));
  expect(again).toBe(true);
  await Promise.all([first.close(), second.close()]);
});

test('an instance whose work fails leaves the lease to one that waits for it, and takes it again when none does', async () => {
  const url = await freshDatabase();
  const clock = new ManualClock();
  const [first, second] = [new PostgresSession(url, clock), new PostgresSession(url, clock)];
  const stop = new AbortController();
  const holders: string[] = [];
  let fail = () => {};
  const leases = new PostgresLeases(first, clock, 500);
  const failing = supervise('relay', { clock, random: new SeededRandom(1), log: silentLog }, stop.signal, () =>
    leases.hold('relay', stop.signal, async () => {
      holders.push('failing');
      await new Promise<void>((_, reject) => (fail = () => reject(new Error('It cannot reach the bus.'))));
    }),
  );
  await expect.poll(() => holders).toEqual(['failing']);
  fail();
  await expect.poll(() => clock.sleeping).toBe(1);
  await clock.advance(1_000);
  await expect.poll(() => holders).toEqual(['failing', 'failing']);
  holders.length = 0;

  const sound = new PostgresLeases(second, clock, 500).hold('relay', stop.signal, async () => {
    holders.push('sound');
    await untilAborted(stop.signal);
  });
  await expect.poll(() => clock.sleeping).toBe(1); // It has found the lease taken, and looks again in 500 ms.
  fail();
  await expect.poll(() => clock.sleeping).toBe(2);
  await clock.advance(499);
  await first.query('SELECT'); // Whatever it asked of its session is done.
  expect(holders).toEqual([]);
  await clock.advance(1);
  await expect.poll(() => holders).toEqual(['sound']);
  stop.abort();
  await Promise.all([failing, sound]);
  await Promise.all([first.close(), second.close()]);
});

test('every instance can tell who holds which lease, and that nobody does any longer', async () => {
  const url = await freshDatabase();
  const elsewhere = await freshDatabase();
  const clock = new SystemClock();
  const open = (at: string, name: string) => new PostgresSession(at, clock, leaseSession(name));
  const sessions = [open(url, 'one:3001'), open(url, 'two:3001'), open(elsewhere, 'other:3001')];
  const [one, two, other] = sessions.map((session) => new PostgresLeases(session, clock, 20));
  const stop = new AbortController();
  const holding: Promise<void>[] = [];
  const hold = (leases: PostgresLeases, name: string) =>
    new Promise<void>((begun) => {
      const work = (lease: AbortSignal) => (begun(), untilAborted(lease));
      holding.push(leases.hold(name, stop.signal, work));
    });
  // Keys of 64 bits: of these, some have the first bit of either half set.
  const names = Array.from({ length: 8 }, (_, i) => `lease ${i}`);
  for (const name of names) await hold(one!, name);
  await hold(two!, 'relay');
  await hold(other!, 'elsewhere');
  const expected = new Map([...names.map((name) => [name, 'one:3001'] as const), ['relay', 'two:3001']]);
  for (const leases of [one!, two!]) {
    const held = await leases.holders([...names, 'relay', 'elsewhere', 'nobody']);
    expect(held).toEqual(expected);
  }
  stop.abort();
  await Promise.all(holding);
  expect(await two!.holders(names)).toEqual(new Map());
  for (const session of sessions) await session.close();
});
