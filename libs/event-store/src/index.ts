export * from './port.js';
export * from './memory.js';
export * from './transactor.js';
export * from './upcast.js';
export * from './postgres.js';
export { MemorySnapshots, type Snapshot, Snapshots } from './snapshots.js';
export * from './snapshots-postgres.js';
export { archive } from './postgres-archive.js';
