/**
 * A service of the shop on Restate: the order is a workflow, keyed by its id, and calls inventory and payment through
 * Restate, which stores every call and every result. Inventory keeps its stock in virtual objects, one for each SKU, or,
 * where it is given a database, in a table.
 */
import * as restate from '@restatedev/restate-sdk';
import { openPool } from '../pool.js';
import { openProvider, orderOf, type OrderBody, ready, settingsOf } from './program.js';
import { type Order, reserve, ship } from './tables.js';

const CONNECTIONS = 16;

// All that Restate's SDK misses in Node 20.
if (!('withResolvers' in Promise)) {
  Object.assign(Promise, {
    withResolvers() {
      let settle = {};
      const promise = new Promise((resolve, reject) => (settle = { resolve, reject }));
      return { promise, ...settle };
    },
  });
}

const { role, port, databases, unitMinor } = settingsOf(process.argv);

interface Level {
  readonly available: number;
  readonly reserved: number;
}

/** Restate lets one call at a time have an object, and carries each call out once. */
const shelf = restate.object({
  name: 'Shelf',
  handlers: {
    async receive(ctx: restate.ObjectContext, units: number) {
      const { available, reserved } = await levelOf(ctx);
      ctx.set('level', { available: available + units, reserved });
    },
    async reserve(ctx: restate.ObjectContext, { orderId, quantity }: Order) {
      const { available, reserved } = await levelOf(ctx);
      if (available < quantity) throw new restate.TerminalError(`There is not enough of ${ctx.key} for ${orderId}.`);
      ctx.set('level', { available: available - quantity, reserved: reserved + quantity });
    },
    async ship(ctx: restate.ObjectContext, { quantity }: Order) {
      const { available, reserved } = await levelOf(ctx);
      ctx.set('level', { available, reserved: reserved - quantity });
    },
  },
});

async function levelOf(ctx: restate.ObjectContext): Promise<Level> {
  return (await ctx.get<Level>('level')) ?? { available: 0, reserved: 0 };
}

// A handler that does one thing, which may be repeated, needs no step of its own: its result is stored as the call's.

function warehouseOn(url: string) {
  const pool = openPool(url, CONNECTIONS);
  return restate.service({
    name: 'Warehouse',
    handlers: {
      reserve: (_: restate.Context, order: Order) => reserve(pool, order),
      ship: (_: restate.Context, { orderId }: Order) => ship(pool, orderId),
    },
  });
}

function paymentAt(url: string) {
  const provider = openProvider(url);
  return restate.service({
    name: 'Payment',
    handlers: {
      authorize: (_: restate.Context, order: Order) => provider.authorize(order),
      capture: (_: restate.Context, order: Order) => provider.capture(order),
    },
  });
}

const order = restate.workflow({
  name: 'Order',
  handlers: {
    async run(ctx: restate.WorkflowContext, body: OrderBody) {
      const order = orderOf(ctx.key, body, unitMinor);
      const inventory = databases['inventory']
        ? ctx.serviceClient<ReturnType<typeof warehouseOn>>({ name: 'Warehouse' })
        : ctx.objectClient<typeof shelf>({ name: 'Shelf' }, order.sku);
      const payment = ctx.serviceClient<ReturnType<typeof paymentAt>>({ name: 'Payment' });
      const keep = (status: string) => ctx.set('order', { ...order, status });
      keep('placed');
      await inventory.reserve(order);
      await payment.authorize(order);
      keep('confirmed');
      await restate.RestatePromise.all([inventory.ship(order), payment.capture(order)]);
      keep('completed');
      return { orderId: order.orderId, status: 'completed' };
    },
  },
});

const services = {
  order: () => order,
  inventory: () => (databases['inventory'] ? warehouseOn(databases['inventory']) : shelf),
  payment: () => paymentAt(databases['provider']!),
};
await restate.serve({ services: [services[role as keyof typeof services]()], port });
ready();
