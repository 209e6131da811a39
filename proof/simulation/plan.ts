/**
 * What happens in a world, made from its seed before it begins: a numbered list of what customers and operators do and
 * of what goes wrong. A world with some of the items left out is a world too, which is how a failure is made small.
 *
 * Each world draws which kinds of trouble it has at all (swarm testing), for many failures need much of one kind and
 * none of another.
 *
 * Source: Groce, Zhang, Eide, Chen, Regehr, "Swarm Testing", ISSTA 2012.
 */
import { type Service, services, shop } from '../../apps/shop.js';
import { type Stray, STRAYS } from '../../apps/payment/src/simulator/payment.js';
import { type Dice, diceFor } from './chance.js';
import { nameOf, type Point, points } from './fault-points.js';

export interface Line {
  readonly sku: string;
  readonly quantity: number;
}

export type ProviderCall = 'authorize' | 'capture' | 'void' | 'refund' | 'find';

/** What happens, without its number and its time. All durations are virtual milliseconds. */
export type Happening =
  /** One more instance of a service. */
  | { readonly kind: 'second-instance'; readonly service: Service }
  /** `againMs`: the same request is sent once more so long after. `waits`: the customer waits for the end. */
  | {
      readonly kind: 'order';
      readonly lines: readonly Line[];
      readonly token: string;
      readonly againMs?: number;
      readonly waits: boolean;
    }
  /** `order` is the number of the item that places it. */
  | { readonly kind: 'cancel'; readonly order: number }
  | { readonly kind: 'receipt'; readonly sku: string; readonly quantity: number; readonly twice: boolean }
  | { readonly kind: 'recount'; readonly sku: string; readonly counted: number }
  | { readonly kind: 'price'; readonly sku: string; readonly amountMinor: number }
  /** The customer of an order wants their personal data erased. */
  | { readonly kind: 'erasure'; readonly order: number }
  | { readonly kind: 'operator'; readonly order: number; readonly decision: 'retry' | 'call-off' }
  /** An operator looks at the inboxes and decides about all that waits there; `skips` gives dead letters up at once. */
  | { readonly kind: 'inboxes'; readonly skips: boolean }
  /** `freeMs`: how long the servers believe that it still lives. */
  | { readonly kind: 'crash'; readonly at: Point; readonly downMs: number; readonly freeMs: number }
  | { readonly kind: 'stop'; readonly service: Service; readonly downMs: number }
  | { readonly kind: 'error'; readonly at: Point; readonly times: number }
  | { readonly kind: 'stall'; readonly at: Point; readonly forMs: number }
  | { readonly kind: 'outage'; readonly service: Service; readonly server: Server; readonly forMs: number }
  /** The table of one projection takes no rows: it was altered by hand, or its disk is full. */
  | { readonly kind: 'broken-table'; readonly service: Service; readonly projection: string; readonly forMs: number }
  | { readonly kind: 'disconnect'; readonly service: Service; readonly server: 'store' | 'bus' }
  | { readonly kind: 'lost-lease'; readonly service: Service; readonly lease: string; readonly noticeMs: number }
  | { readonly kind: 'delivered-twice'; readonly service: Service; readonly type: string }
  | { readonly kind: 'held-up'; readonly service: Service; readonly topic: string; readonly forMs: number }
  | { readonly kind: 'poison'; readonly service: Service; readonly order: number }
  | {
      readonly kind: 'provider';
      readonly call: ProviderCall;
      /** Turned away; lost on the way there; or carried out, and its answer lost. */
      readonly how: 'unavailable' | 'request-lost' | 'answer-lost';
      readonly times: number;
    }
  /** Something that was not asked for: see apps/payment/src/simulator/payment.ts. */
  | { readonly kind: 'stray'; readonly call: keyof typeof STRAYS; readonly how: Stray }
  | { readonly kind: 'provider-down'; readonly forMs: number }
  | { readonly kind: 'webhooks'; readonly how: 'late' | 'twice' | 'lost'; readonly forMs: number }
  | { readonly kind: 'leap'; readonly ms: number }
  /** The clock of a service's machine is set forward, or back: what it shows, not how fast time passes. */
  | { readonly kind: 'clock'; readonly service: Service; readonly byMs: number };

/** `keys`: the key store, which order alone has. */
export type Server = 'store' | 'bus' | 'tables' | 'keys';

/** `n` is its number; it happens, or lies in wait, from `atMs` virtual milliseconds after the beginning. */
export type Item = { readonly n: number; readonly atMs: number } & Happening;

export interface Plan {
  readonly items: readonly Item[];
  readonly stock: Readonly<Record<string, number>>;
  readonly prices: Readonly<Record<string, number>>;
  /** After which an order that is not confirmed is called off. */
  readonly deadlineMs: number;
  /** How many orders that are not settled a customer may have. */
  readonly openOrders: number;
  /** How many customers have all orders among them: some order more than once, also when they have left. */
  readonly customers: number;
  /** The share of steps that take long. */
  readonly slowShare: number;
}

/** The tables of all projections. */
export const tables = services.flatMap((service) =>
  shop[service].projections.map(({ name: projection }) => ({ service, projection })),
);

export const skus = ['olive-oil', 'honey', 'bread', 'sea-salt'];

/** How often each token is used, out of all. One that is no token stands for what a customer may send. */
const TOKENS = {
  tok_approved: 50,
  tok_declined: 6,
  tok_insufficient_funds: 4,
  tok_slow: 7,
  tok_charged_after_timeout: 6,
  tok_capture_fails_twice: 7,
  tok_down_30s: 5,
  tok_capture_refused: 3,
  tok_capture_refused_once: 4,
  tok_refund_refused_once: 6,
  tok_nonsense: 2,
};

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export function planOf(seed: number, orders: number): Plan {
  const dice = diceFor(seed, 'plan');
  const stock = Object.fromEntries(skus.map((sku) => [sku, dice.between(Math.ceil(orders / 4), orders * 2)]));
  const prices = Object.fromEntries(skus.map((sku) => [sku, dice.between(50, 3_000)]));
  const openMs = dice.pick([500, 3_000, 15_000]);
  const operatorShare = dice.pick([0, 0.08, 0.3]);
  const items: Item[] = [];
  const add = (atMs: number, happening: Happening) => items.push({ n: items.length + 1, atMs, ...happening });

  for (const service of services) if (dice.chance(0.4)) add(0, { kind: 'second-instance', service });
  for (let i = 0; i < orders; i++) {
    const atMs = 100 + dice.between(0, openMs);
    const token = dice.weighted(TOKENS);
    add(atMs, {
      kind: 'order',
      lines: someLines(dice),
      token,
      ...(dice.chance(0.15) ? { againMs: dice.pick([0, 1, 5, 50, 3_000]) } : {}),
      waits: dice.chance(0.2),
    });
    const order = items.length;
    if (dice.chance(0.15)) add(atMs + dice.pick([0, 5, 20, 60, 200, 2_000, 20_000]), { kind: 'cancel', order });
    // Only an order that is called off past the pivot has something refunded.
    if (dice.chance(token === 'tok_refund_refused_once' ? 0.6 : operatorShare)) {
      const decision = dice.chance(0.7) ? 'call-off' : 'retry';
      add(atMs + dice.pick([10, 40, 80, 120, 160, 250, 1_000, 5_000, 2 * MINUTE]), {
        kind: 'operator',
        order,
        decision,
      });
    }
  }
  for (const sku of skus) {
    const atMs = dice.between(0, openMs);
    if (dice.chance(0.3)) add(atMs, { kind: 'receipt', sku, quantity: dice.between(1, 20), twice: dice.chance(0.5) });
    if (dice.chance(0.2)) add(atMs, { kind: 'recount', sku, counted: dice.between(0, orders) });
    if (dice.chance(0.3)) add(atMs, { kind: 'price', sku, amountMinor: dice.between(0, 3_000) });
  }

  // In a gentle world little goes wrong, so that what is lost is not made good by what heals larger troubles.
  const gentle = dice.chance(0.3);
  const orderItems = items.filter(({ kind }) => kind === 'order');
  for (const [kind, trouble] of Object.entries(TROUBLES)) {
    const ofThisKind = diceFor(seed, 'plan', kind);
    if (!ofThisKind.chance(gentle ? (trouble.gently ?? trouble.share / 4) : trouble.share)) continue;
    for (let left = ofThisKind.between(1, gentle ? 2 : trouble.most); left > 0; left--) {
      const atMs = 100 + ofThisKind.between(0, openMs * (ofThisKind.chance(0.3) ? 3 : 1));
      const happening = trouble.make(ofThisKind, orderItems);
      // Some lie in wait from the start, where every process reads how far it was.
      add(ofThisKind.chance(0.2) ? 0 : atMs, happening);
      if (happening.kind === 'crash') {
        for (const brought of bringing(happening.at, atMs, ofThisKind, orderItems))
          add(brought.atMs, brought.happening);
      }
      // After a day, what is held without a verdict waits for a person.
      if (happening.kind === 'leap' && happening.ms >= 24 * HOUR) add(atMs + 1, { kind: 'inboxes', skips: false });
      // By then its retries are used up.
      if (happening.kind === 'poison') {
        add(atMs + ofThisKind.between(18, 38) * MINUTE, { kind: 'inboxes', skips: ofThisKind.chance(0.7) });
      }
    }
  }
  // An order that cannot be written just after it was called off: what the others answer is retried until it is dead, and
  // skipped. Only their answers to its reminders bring it to its end.
  const lost = diceFor(seed, 'plan', 'lost answers');
  if (lost.chance(0.1)) {
    const { n: order, atMs } = lost.pick(orderItems);
    const cancelledMs = atMs + lost.between(10, 150);
    add(cancelledMs, { kind: 'cancel', order });
    add(cancelledMs + lost.between(5, 30), { kind: 'poison', service: 'order', order });
    add(cancelledMs + lost.between(20, 38) * MINUTE, { kind: 'inboxes', skips: true });
  }
  const unheard = diceFor(seed, 'plan', 'lost requests');
  if (unheard.chance(0.15)) {
    const service = unheard.pick(['inventory', 'inventory', 'payment'] as const);
    for (const each of lostRequest(service, unheard, orderItems)) add(each.atMs, each.happening);
  }
  // A price that changes while orders read it, and what is ordered after that.
  const haggling = diceFor(seed, 'plan', 'prices');
  if (haggling.chance(0.4)) {
    const sku = haggling.pick(skus);
    const beganMs = haggling.between(50, openMs);
    const order = { kind: 'order', lines: [{ sku, quantity: 1 }], token: 'tok_approved', waits: false } as const;
    for (let change = 0; change < 4; change++) {
      const atMs = beganMs + change * haggling.pick([5, 10, 20]);
      add(atMs, { kind: 'price', sku, amountMinor: haggling.between(50, 3_000) });
      add(atMs + haggling.between(0, 20), order);
    }
    add(beganMs + haggling.between(100, 500), order);
  }
  // Who leaves: in a moment at which they order, or when all is long over.
  const leaving = diceFor(seed, 'plan', 'erasures');
  if (leaving.chance(0.6)) {
    for (let left = leaving.between(1, 6); left > 0; left--) {
      const { n: order, atMs } = leaving.pick(orderItems);
      add(atMs + leaving.pick([0, 1, 5, 20, 100, 1_000, 20_000]), { kind: 'erasure', order });
    }
  }
  const deadlineMs = dice.pick([2_000, 20_000, 2 * MINUTE, 15 * MINUTE]);
  // Few customers, who have more to order than they may at a time.
  const crowding = diceFor(seed, 'plan', 'customers');
  const few = crowding.chance(0.25);
  const customers = few ? crowding.between(1, 3) : 7;
  const openOrders = few ? crowding.between(2, 5) : 20;
  return { items, stock, prices, deadlineMs, openOrders, customers, slowShare: dice.pick([0, 0.01, 0.05]) };
}

function someLines(dice: Dice): Line[] {
  return dice
    .shuffled(skus)
    .slice(0, dice.pick([1, 1, 2, 2, 3]))
    .map((sku) => ({ sku, quantity: dice.between(1, 4) }));
}

const AFTER_THE_PIVOT = [
  'provider.refund',
  'PaymentRefunded',
  'PaymentRefundRefused',
  'PaymentCaptureRefused',
  'ReservationReturned',
  'StockReturned',
];

/** A happening and its time. */
interface Timed {
  readonly atMs: number;
  readonly happening: Happening;
}

/** What makes a process come to a point, from `atMs` on, that it seldom comes to by itself. */
function bringing(
  { service, step, about = step }: Point,
  atMs: number,
  dice: Dice,
  orders: readonly Item[],
): readonly Timed[] {
  if (step === 'parked.park' || step === 'parked.recordRetries') {
    const order = dice.pick(orders).n;
    return [{ atMs: Math.max(0, atMs - 1_000), happening: { kind: 'poison', service, order } }];
  }
  if (step === 'tables.due' && about.endsWith('-hold')) {
    return [{ atMs: atMs + 1, happening: { kind: 'inboxes', skips: false } }];
  }
  if (AFTER_THE_PIVOT.includes(about)) {
    const tries = dice.shuffled(orders).slice(0, 8);
    return tries.map(({ n }) => ({
      atMs: atMs + dice.between(0, 5_000),
      happening: { kind: 'operator', order: n, decision: 'call-off' },
    }));
  }
  return about === 'ReservationBlocked' ? lostRequest(service, dice, orders) : [];
}

/**
 * An order that is called off before anybody reminded of it, and whose request a service gave up: the cancellation is the
 * first that it hears of the order.
 */
function lostRequest(service: Service, dice: Dice, orders: readonly Item[]): readonly Timed[] {
  const { n: order, atMs } = dice.pick(orders);
  return [
    { atMs: 0, happening: { kind: 'poison', service, order } },
    { atMs: atMs + dice.between(5, 2_000), happening: { kind: 'cancel', order } },
    { atMs: atMs + dice.between(20, 38) * MINUTE, happening: { kind: 'inboxes', skips: true } },
  ];
}

/** A kind of trouble: the share of worlds, and of gentle worlds, that have it, how often at most, and how it is drawn. */
interface Trouble {
  readonly share: number;
  readonly gently?: number;
  readonly most: number;
  readonly make: (dice: Dice, orders: readonly Item[]) => Happening;
}

const TROUBLES: Readonly<Record<string, Trouble>> = {
  crash: {
    share: 0.75,
    gently: 0.6,
    most: 6,
    make: (dice) => ({
      kind: 'crash',
      at: dice.pick(points),
      downMs: dice.pick([10, 500, 500, 3_000, 30_000]),
      freeMs: dice.pick([0, 0, 1_000, 10_000]),
    }),
  },
  stop: {
    share: 0.2,
    most: 2,
    make: (dice) => ({ kind: 'stop', service: dice.pick(services), downMs: dice.pick([1, 1_000]) }),
  },
  error: {
    share: 0.5,
    gently: 0.45,
    most: 4,
    make: (dice) => ({ kind: 'error', at: dice.pick(points), times: dice.pick([1, 1, 2, 5]) }),
  },
  stall: {
    share: 0.4,
    most: 4,
    make: (dice) => ({ kind: 'stall', at: dice.pick(points), forMs: dice.pick([50, 400, 3_000, 20_000]) }),
  },
  outage: {
    share: 0.3,
    gently: 0.2,
    most: 2,
    make: (dice) => ({
      kind: 'outage',
      service: dice.pick(services),
      server: dice.pick(['store', 'bus', 'tables'] as const),
      forMs: dice.pick([100, 5_000, MINUTE]),
    }),
  },
  'key-store': {
    share: 0.3,
    gently: 0.2,
    most: 2,
    make: (dice) => ({
      kind: 'outage',
      service: 'order',
      server: 'keys',
      forMs: dice.pick([100, 5_000, MINUTE]),
    }),
  },
  'broken-table': {
    share: 0.2,
    gently: 0.1,
    most: 2,
    make: (dice) => ({ kind: 'broken-table', ...dice.pick(tables), forMs: dice.pick([500, 5_000, MINUTE]) }),
  },
  disconnect: {
    share: 0.3,
    gently: 0.3,
    most: 4,
    make: (dice) => ({
      kind: 'disconnect',
      service: dice.pick(services),
      server: dice.pick(['store', 'bus'] as const),
    }),
  },
  'lost-lease': {
    share: 0.4,
    gently: 0.3,
    most: 4,
    make: (dice) => {
      const service = dice.pick(services);
      return {
        kind: 'lost-lease',
        service,
        lease: dice.pick(shop[service].allLeases),
        noticeMs: dice.pick([0, 5, 100, 3_000]),
      };
    },
  },
  'delivered-twice': {
    share: 0.4,
    most: 5,
    make: (dice) => {
      const { service, about: type = '' } = dice.pick(points.filter(({ step }) => step === 'bus.handle'));
      return { kind: 'delivered-twice', service, type };
    },
  },
  'held-up': {
    share: 0.3,
    most: 3,
    make: (dice) => {
      const [service, topic] = dice.pick([
        ['order', 'inventory.events.v1'],
        ['order', 'payment.events.v1'],
        ['inventory', 'order.events.v1'],
        ['payment', 'order.events.v1'],
      ] as const);
      return { kind: 'held-up', service, topic, forMs: dice.pick([20, 500, 5_000, MINUTE]) };
    },
  },
  poison: {
    share: 0.15,
    most: 3,
    make: (dice, orders) => ({ kind: 'poison', service: dice.pick(services), order: dice.pick(orders).n }),
  },
  provider: {
    share: 0.5,
    most: 5,
    make: (dice) => ({
      kind: 'provider',
      call: dice.pick(['authorize', 'capture', 'void', 'refund', 'find'] as const),
      how: dice.pick(['unavailable', 'request-lost', 'answer-lost'] as const),
      times: dice.pick([1, 2, 4]),
    }),
  },
  stray: {
    share: 0.3,
    gently: 0.15,
    most: 4,
    make: (dice) => {
      const call = dice.pick(['authorize', 'authorize', 'capture', 'capture', 'refund'] as const);
      return { kind: 'stray', call, how: dice.pick<Stray>(STRAYS[call]) };
    },
  },
  'provider-down': {
    share: 0.15,
    most: 1,
    make: (dice) => ({ kind: 'provider-down', forMs: dice.pick([5_000, MINUTE, 30 * MINUTE, 3 * HOUR]) }),
  },
  webhooks: {
    share: 0.4,
    most: 3,
    make: (dice) => ({
      kind: 'webhooks',
      how: dice.pick(['late', 'twice', 'lost'] as const),
      forMs: dice.pick([1_000, 10_000, 10 * MINUTE]),
    }),
  },
  inboxes: {
    share: 0.3,
    most: 2,
    make: (dice) => ({ kind: 'inboxes', skips: dice.chance(0.5) }),
  },
  leap: {
    share: 0.2,
    most: 2,
    make: (dice) => ({ kind: 'leap', ms: dice.pick([3_000, 5 * MINUTE, HOUR, 24 * HOUR]) }),
  },
  clock: {
    share: 0.2,
    most: 2,
    make: (dice) => ({
      kind: 'clock',
      service: dice.pick(services),
      byMs: dice.pick([-10 * MINUTE, -10 * MINUTE, -3 * HOUR, 7 * 24 * HOUR]),
    }),
  },
};

/** One line for a person. */
export function describe(item: Item): string {
  switch (item.kind) {
    case 'second-instance':
      return `${item.service} has a second instance`;
    case 'order': {
      const lines = item.lines.map(({ sku, quantity }) => `${quantity} ${sku}`).join(', ');
      const again = item.againMs === undefined ? '' : `, and sends it again after ${duration(item.againMs)}`;
      return `a customer orders ${lines} with ${item.token}${again}`;
    }
    case 'cancel':
      return `the customer cancels order ${item.order}`;
    case 'erasure':
      return `the customer of order ${item.order} wants their personal data erased`;
    case 'receipt':
      return `${item.quantity} ${item.sku} come in${item.twice ? ', and are entered twice under one key' : ''}`;
    case 'recount':
      return `${item.sku} is counted: ${item.counted}`;
    case 'price':
      return `${item.sku} now costs ${item.amountMinor}`;
    case 'operator':
      return `an operator decides about order ${item.order}: ${item.decision}`;
    case 'inboxes':
      return `an operator looks at all inboxes${item.skips ? ', and skips dead letters' : ''}`;
    case 'crash':
      return `${nameOf(item.at)}, killed; it starts again after ${duration(item.downMs)}, and the servers miss it after ${duration(item.freeMs)}`;
    case 'stop':
      return `an instance of ${item.service} is stopped, and starts again after ${duration(item.downMs)}`;
    case 'error':
      return `${nameOf(item.at)}, fails ${item.times === 1 ? 'once' : `${item.times} times`}`;
    case 'stall':
      return `${nameOf(item.at)}, hangs for ${duration(item.forMs)}`;
    case 'outage':
      return `the ${item.server} of ${item.service} cannot be reached for ${duration(item.forMs)}`;
    case 'broken-table':
      return `the table of ${item.projection} takes no rows ${item.forMs === Infinity ? 'any more' : `for ${duration(item.forMs)}`}`;
    case 'disconnect':
      return `the connections of ${item.service} to its ${item.server} break`;
    case 'lost-lease':
      return `${item.service} loses the lease "${item.lease}", and notices it after ${duration(item.noticeMs)}`;
    case 'delivered-twice':
      return `${item.service} is given ${item.type} twice`;
    case 'held-up':
      return `${item.topic} comes to ${item.service} ${duration(item.forMs)} late`;
    case 'poison':
      return `${item.service} cannot write what concerns order ${item.order}, until it is given up`;
    case 'provider':
      return `the provider: ${item.call} ${item.how} ${item.times === 1 ? 'once' : `${item.times} times`}`;
    case 'stray':
      return `the provider does what was not asked for: ${item.how}`;
    case 'provider-down':
      return `the provider cannot be reached for ${duration(item.forMs)}`;
    case 'webhooks':
      return `webhooks are ${item.how} for ${duration(item.forMs)}`;
    case 'leap':
      return `all machines stand still for ${duration(item.ms)}`;
    case 'clock':
      return `the clock of ${item.service} is set ${item.byMs < 0 ? 'back' : 'forward'} by ${duration(Math.abs(item.byMs))}`;
  }
}

export function duration(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  if (ms < MINUTE) return `${ms / 1_000} s`;
  return ms < HOUR ? `${ms / MINUTE} min` : `${ms / HOUR} h`;
}
