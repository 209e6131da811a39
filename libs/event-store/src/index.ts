export * from './port.js';
export * from './memory.js';
export * from './transactor.js';
export * from './upcast.js';
export { MemorySnapshots, type Snapshot, Snapshots } from './snapshots.js';
