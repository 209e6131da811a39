/** What the Postgres adapters share. */
export * from './connection.js';
export * from './byte-order.js';
export * from './encoding.js';
export * from './pooler.js';
export * from './session.js';
export * from './leases.js';
export * from './checkpoints.js';
