export * from './ports.js';
export * from './servers.js';
export * from './backoff.js';
export * from './memory.js';
export * from './bell.js';
export * from './within.js';
export * from './supervise.js';
export * from './system.js';
