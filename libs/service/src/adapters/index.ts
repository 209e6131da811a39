export { openEventStore, openMessageBus, openPorts } from './adapters.js';
export { reach } from './reach.js';
