export * from './port.js';
export * from './memory.js';
export * from './transactor.js';
export * from './upcast.js';
export * from './postgres.js';
