import { runApplication } from '#nest';
import { hearBalance } from './http/balance.js';
import { startGateway } from './http/gateway.js';

const balance = hearBalance();

await runApplication('gateway', () => startGateway({ balance }));
