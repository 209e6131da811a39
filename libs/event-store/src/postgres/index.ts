export * from './event-store.js';
export * from './snapshots.js';
export { archive } from './archive.js';
