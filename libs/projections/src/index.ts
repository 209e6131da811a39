export * from './projection.js';
export * from './port.js';
