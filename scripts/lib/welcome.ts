/** The text at the end of `npm start`: what is open, and what to try next. */
import { bold, cyan } from './screen.js';
import { services } from '../../apps/shop.js';
import { urlOf } from './addresses.js';

/** `logs` is a folder, `psql` the command that opens a database. Every command can be pasted into a POSIX shell as it is. */
export function welcome({ logs, psql }: { logs: string; psql: string }): string {
  const order = urlOf('order');
  const inventory = urlOf('inventory');
  const payment = urlOf('payment');
  const place = (token: string, wait = '') => [
    `curl -s ${order}/orders ${wait}-H 'Content-Type: application/json' \\`,
    `  -H "Idempotency-Key: $(node -p 'crypto.randomUUID()')" \\`,
    `  -d '{ "customerId": "4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e", "payment": { "token": "${token}" },`,
    `        "lines": [{ "sku": "olive-oil", "quantity": 2 }] }'`,
  ];
  const commands = (...lines: string[]) => lines.map((line) => cyan(`    ${line}`)).join('\n');

  return `
${bold('Larder is open.')}

${services.map((service) => `  ${service.padEnd(11)} ${urlOf(service)}/docs`).join('\n')}
  logs        ${logs}/
  database    ${psql}

${bold('What to try next, in another terminal')}

  Place an order and wait until it is final:

${commands(...place('tok_approved', "-H 'Prefer: wait=5' "))}

  Place an order with a slow card, look at its history, and cancel it:

${commands(
  `ORDER=$(${place('tok_slow').join('\n    ')} |`,
  `  node -p 'JSON.parse(fs.readFileSync(0)).orderId')`,
  `curl -s ${order}/orders/$ORDER/history`,
  `curl -s -X POST ${order}/orders/$ORDER/cancel`,
)}

  Look at the stock, and at what the payment provider has charged and refunded:

${commands(`curl -s ${inventory}/stock`, `curl -s ${payment}/simulator/ledger`)}

  Follow four orders across the services; then rebuild a read model from its events:

${commands('npm run demo', 'npm run replay -- order-summary')}

Ctrl-C closes the shop; its data is kept.
`;
}
