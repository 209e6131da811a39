export { openEventStore, openMessageBus, openPorts } from './adapters.js';
