import { runApplication } from '#nest';
import { startGateway } from './http/gateway.js';

await runApplication('gateway', () => startGateway());
