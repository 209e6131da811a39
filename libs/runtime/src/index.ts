export * from './ports.js';
export * from './servers.js';
export * from './backoff.js';
export * from './memory.js';
export * from './signals.js';
export * from './batching.js';
export { FairPlaces, LineFull } from './fair-places.js';
export * from './supervise.js';
export * from './system.js';
