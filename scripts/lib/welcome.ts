/** The screen at the end of `npm start`: what is open, and what to type next. */
import { bold, cyan } from './screen.js';
import { urlOf } from './addresses.js';

/** `logs` is a folder, `database` a connection URL. Every command can be pasted into a POSIX shell as it is. */
export function welcome({ logs, database }: { logs: string; database: string }): string {
  const [order, inventory, payment] = [urlOf('order'), urlOf('inventory'), urlOf('payment')];
  const place = (token: string, wait = '') => [
    `curl -s ${order}/orders ${wait}-H 'Content-Type: application/json' \\`,
    `  -H "Idempotency-Key: $(node -p 'crypto.randomUUID()')" \\`,
    `  -d '{ "customerId": "4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e", "payment": { "token": "${token}" },`,
    `        "lines": [{ "sku": "olive-oil", "quantity": 2 }] }'`,
  ];
  const commands = (...lines: string[]) => lines.map((line) => cyan(`    ${line}`)).join('\n');

  return `
${bold('Larder is open.')}

  order       ${order}/docs
  inventory   ${inventory}/docs
  payment     ${payment}/docs
  logs        ${logs}/
  database    ${database}

${bold('What to type next, in another terminal')}

  Place an order and wait until it is final:

${commands(...place('tok_approved', "-H 'Prefer: wait=5' "))}

  Place one with a slow card, see what has happened to it, and call it off:

${commands(
  `ORDER=$(${place('tok_slow').join('\n    ')} |`,
  `  node -p 'JSON.parse(fs.readFileSync(0)).orderId')`,
  `curl -s ${order}/orders/$ORDER/history`,
  `curl -s -X POST ${order}/orders/$ORDER/cancel`,
)}

  Look at the shelves, and at what the payment provider has charged and given back:

${commands(`curl -s ${inventory}/stock`, `curl -s ${payment}/simulator/ledger`)}

  Four orders and what becomes of each, across the services; then a read model, built anew from the events:

${commands('npm run demo', 'npm run replay -- order-summary')}

Ctrl-C closes the shop and keeps its data.
`;
}
