/** The text at the end of `npm start`: what is open, and what to try next. */
import { bold, cyan } from './screen.js';
import { services } from '../../apps/shop.js';
import type { AccountName } from './accounts.js';
import { quoted, urlOf } from './addresses.js';

/**
 * `logs` is a folder, `psql` the command that opens a database, `issuer` where tokens come from, and `as` the folder with the
 * header files. Every command can be pasted into a POSIX shell as it is.
 */
export function welcome(shop: { logs: string; psql: string; issuer: string; as: string }): string {
  const { logs, psql, issuer } = shop;
  const order = urlOf('order');
  const inventory = urlOf('inventory');
  const payment = urlOf('payment');
  const as = (account: AccountName) => `-H ${quoted(`@${shop.as}/${account}`)}`;
  const place = (token: string, wait = '') => [
    `curl -s ${as('customer')} ${order}/orders ${wait}\\`,
    `  -H 'Content-Type: application/json' -H "Idempotency-Key: $(node -p 'crypto.randomUUID()')" \\`,
    `  -d '{ "lines": [{ "sku": "olive-oil", "quantity": 2 }], "payment": { "token": "${token}" } }'`,
  ];
  const commands = (...lines: string[]) => lines.map((line) => cyan(`    ${line}`)).join('\n');

  return `
${bold('Larder is open.')} In a browser: ${cyan(urlOf('gateway'))}

${services.map((service) => `  ${service.padEnd(11)} ${urlOf(service)}/docs`).join('\n')}
  identity    ${issuer}
  logs        ${logs}/
  database    ${psql}

${bold('What to try next, in another terminal')}

  Place an order and wait until it is final:

${commands(...place('tok_approved', "-H 'Prefer: wait=5' "))}

  Place an order with a slow card, look at its history, and cancel it:

${commands(
  `ORDER=$(${place('tok_slow').join('\n    ')} |`,
  `  node -p 'JSON.parse(fs.readFileSync(0)).orderId')`,
  `curl -s ${as('customer')} ${order}/orders/$ORDER/history`,
  `curl -s ${as('customer')} -X POST ${order}/orders/$ORDER/cancel`,
)}

  Look at the stock as a clerk, and as an operator at what the payment provider has charged and refunded:

${commands(`curl -s ${as('clerk')} ${inventory}/stock`, `curl -s ${as('operator')} ${payment}/simulator/ledger`)}

  Follow four orders across the services; then rebuild a read model from its events:

${commands('npm run demo', 'npm run replay -- order-summary')}

Ctrl-C closes the shop; its data is kept.
`;
}
