export * from './port.js';
export * from './transactor.js';
