export * from './port.js';
export * from './partitions.js';
export * from './memory.js';
export * from './parked.js';
export * from './parked-memory.js';
export * from './consumer.js';
export * from './relay.js';
export * from './translation.js';
