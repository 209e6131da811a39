import type { Lab } from '../frame/way.js';
import { tabulate } from './undecided.js';
import { ways } from './ways.js';

export const twoPhaseCommit: Lab = {
  name: 'two-phase-commit',
  title: 'Two-phase commit',
  servers: { order: 'order', inventory: 'inventory', payment: 'payment', provider: 'provider' },
  settings: { max_prepared_transactions: '50' },
  ways,
  pictured: ['two phases'],
  picturedKill: { way: 'two phases', step: 'decide to take', moment: 'before' },
  tables: (databases) => tabulate(twoPhaseCommit, databases),
};
