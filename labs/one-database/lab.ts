import type { Lab } from '../frame/way.js';
import { tabulate } from './anomalies.js';
import { ways } from './ways.js';

export const oneDatabase: Lab = {
  name: 'one-database',
  title: 'One database',
  servers: { order: 'shop', inventory: 'shop', payment: 'shop', provider: 'provider' },
  settings: {},
  ways,
  pictured: ['calls inside', 'row locks'],
  tables: ({ order }, times) => tabulate(order, times),
};
