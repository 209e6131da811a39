export * from './port.js';
export * from './memory.js';
export type { Decision, Desk } from './attempt.js';
export * from './transactor.js';
export * from './decision-queue.js';
export * from './follow.js';
export { readAhead } from './subscription.js';
export * from './upcast.js';
export { MemorySnapshots, type Snapshot, Snapshots } from './snapshots.js';
