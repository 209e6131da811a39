import { expect, test } from 'vitest';
import { SystemClock } from '#runtime';
import { ManualClock } from '#runtime/testing';
import { message, messageBusContract, numberOf } from './contract.js';
import { MemoryLog, MemoryMessageBus } from './memory.js';
import type { MessageBus } from './port.js';

messageBusContract('MemoryMessageBus', async () => {
  const log = new MemoryLog();
  return {
    open: async () => new MemoryMessageBus({ clock: new SystemClock(), log }),
    topic: async () => `t${++topics}`,
  };
});

let topics = 0;

test('as on Postgres, what is done is stored half a second later, and comes again after a crash before that', async () => {
  const clock = new ManualClock();
  const log = new MemoryLog(1);
  const [bus, next] = [new MemoryMessageBus({ clock, log }), new MemoryMessageBus({ clock, log })];
  const seen: number[] = [];
  const consume = (from: MessageBus) =>
    from
      .consume({
        group: 'group',
        topics: ['t'],
        handle: async (batch) => void seen.push(...batch.map(numberOf)),
        signal: new AbortController().signal,
      })
      .catch(() => {}); // It ends with its bus.
  const unread = async () => (await next.unread('group', ['t'])).map((each) => each.unread);

  void consume(bus);
  await bus.publish('t', [message('a', 0)]);
  await clock.advance(499);
  expect([seen, await unread()]).toEqual([[0], [1]]);
  await clock.advance(1);
  expect(await unread()).toEqual([]);

  await bus.publish('t', [message('a', 1)]);
  await clock.advance(100);
  await bus.publish('t', [message('a', 2)]);
  await clock.advance(0);
  expect([seen, await unread()]).toEqual([[0, 1, 2], [1]]); // What was done went along with the next fetch.
  await bus.close();
  void consume(next);
  await clock.advance(0);
  expect(seen).toEqual([0, 1, 2, 2]);
  await next.close();
});
