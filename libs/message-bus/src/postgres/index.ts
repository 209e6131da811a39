export * from './message-bus.js';
export * from './parked.js';
