/**
 * The checkout as a durable workflow of DBOS Transact. Alone in one process (`shop`), or in three: then the steps of the
 * workflow in `order` call `inventory` and `payment` over HTTP, which are applications of DBOS too, and run a workflow for
 * each request, named by the order, so that a request that comes twice is carried out once.
 */
import { DBOS } from '@dbos-inc/dbos-sdk';
import { openPool } from '../pool.js';
import { newServer, openProvider, post, ready, serveOrders, settingsOf } from './program.js';
import { markAs, type Order, place, reserve, ship } from './tables.js';

/** Of DBOS' own pool, whose default is 10, and of the steps' pool. */
const CONNECTIONS = 20;

const { role, port, databases, urls, unitMinor } = settingsOf(process.argv);
const pool = openPool(databases[role]!, CONNECTIONS);
const app = newServer();

/** A step of a workflow, tried again when it throws: what it does may be repeated, and its result is stored. */
const step = <T>(name: string, run: () => Promise<T>) => DBOS.runStep(run, { name, retriesAllowed: true });

/** Steps that go on at the same time, as the documentation has it: the workflow waits for all of them, come what may. */
async function together(...steps: Promise<unknown>[]): Promise<void> {
  const ends = await Promise.allSettled(steps);
  const failure = ends.find((end) => end.status === 'rejected');
  if (failure) throw failure.reason;
}

/** Each does its work once for an order, and can be asked again. */
type Operations = Readonly<Record<'reserve' | 'ship' | 'authorize' | 'capture', (order: Order) => Promise<unknown>>>;

function operationsHere(): Operations {
  const provider = openProvider(databases['provider']!);
  return {
    reserve: (order) => reserve(pool, order),
    ship: ({ orderId }) => ship(pool, orderId),
    authorize: provider.authorize,
    capture: provider.capture,
  };
}

function operationsElsewhere(): Operations {
  const ask = (service: string, operation: string) => (order: Order) => post(`${urls[service]}/${operation}`, order);
  return {
    reserve: ask('inventory', 'reserve'),
    ship: ask('inventory', 'ship'),
    authorize: ask('payment', 'authorize'),
    capture: ask('payment', 'capture'),
  };
}

function serveCheckout(operations: Operations): void {
  const checkout = DBOS.registerWorkflow(
    async (order: Order) => {
      await step('place', () => place(pool, order));
      await step('reserve', () => operations.reserve(order));
      await step('authorize', () => operations.authorize(order));
      await step('confirm', () => markAs(pool, order.orderId, 'confirmed'));
      await together(
        step('ship', () => operations.ship(order)),
        step('capture', () => operations.capture(order)),
      );
      await step('complete', () => markAs(pool, order.orderId, 'completed'));
    },
    { name: 'checkout' },
  );
  serveOrders(app, unitMinor, async (order) => {
    const handle = await DBOS.startWorkflow(checkout, { workflowID: order.orderId })(order);
    await handle.getResult();
  });
}

function serveOperation(name: keyof Operations, operations: Operations): void {
  const workflow = DBOS.registerWorkflow((order: Order) => step(name, () => operations[name](order)), { name });
  app.post<{ Body: Order }>(`/${name}`, async ({ body }) => {
    const handle = await DBOS.startWorkflow(workflow, { workflowID: `${body.orderId}-${name}` })(body);
    await handle.getResult();
    return {};
  });
}

if (role === 'shop') serveCheckout(operationsHere());
if (role === 'order') serveCheckout(operationsElsewhere());
if (role === 'inventory' || role === 'payment') {
  const operations = operationsHere();
  const names = role === 'inventory' ? (['reserve', 'ship'] as const) : (['authorize', 'capture'] as const);
  for (const name of names) serveOperation(name, operations);
}
DBOS.setConfig({
  name: role,
  applicationVersion: '1',
  systemDatabaseUrl: databases[role]!,
  systemDatabasePoolSize: CONNECTIONS,
  logLevel: 'error',
});
await DBOS.launch();
await app.listen({ port, host: '127.0.0.1' });
ready();
