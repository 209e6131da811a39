/** What `npm run lab` leaves behind when it is ended in the middle. */
import { expect, test } from 'vitest';
import { interrupt } from '#test/interrupt';

test('Ctrl-C while transactions are prepared leaves no process and no server behind', { timeout: 60_000 }, async () => {
  const { running, code, left } = await interrupt(['lab', 'two-phase-commit', '--slow'], 'prepare inventory');
  expect(running.length).toBeGreaterThan(4); // Four servers, each with its own.
  expect({ code, left }).toEqual({ code: 130, left: [] });
});
