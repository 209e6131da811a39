export * from './ports.js';
export * from './postgres.js';
export * from './backoff.js';
export * from './memory.js';
export * from './bell.js';
export * from './supervise.js';
export * from './system.js';
export * from './manual-clock.js';
