import { SystemClock } from '#runtime';
import { messageBusContract } from './contract.js';
import { MemoryLog, MemoryMessageBus } from './memory.js';

messageBusContract('MemoryMessageBus', async () => {
  const log = new MemoryLog();
  return {
    open: async () => new MemoryMessageBus({ clock: new SystemClock(), log }),
    topic: async () => `t${++topics}`,
  };
});

let topics = 0;
