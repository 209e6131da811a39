export * from './port.js';
export * from './memory.js';
export * from './transactor.js';
export * from './upcast.js';
export * from './postgres/event-store.js';
export { MemorySnapshots, type Snapshot, Snapshots } from './snapshots.js';
export * from './postgres/snapshots.js';
export { archive } from './postgres/archive.js';
