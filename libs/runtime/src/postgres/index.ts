/** What the Postgres adapters share. */
export * from './pool.js';
export * from './session.js';
export * from './leases.js';
export * from './checkpoints.js';
