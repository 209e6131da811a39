export * from './inventory.js';
export * from './order.js';
export * from './payment.js';
export * from './topic.js';
export * from './values.js';
