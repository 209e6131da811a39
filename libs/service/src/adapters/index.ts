export { openEventStore, openMessageBus, openPorts } from './adapters.js';
export { instanceName } from './instance-name.js';
export { reach } from './reach.js';
export { throughSilence } from './silence.js';
