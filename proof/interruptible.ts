/**
 * Every step of a service that reaches outside of it, as a place where it can be interrupted: a simulation delays it,
 * lets it fail or lets the service crash there, and a crash test kills the process. A service of its own has none of
 * this; a proof that interrupts a service wraps the ports that the service is given.
 */
import { categoryOf } from '#event-store';
import type { ServicePorts } from '../libs/service/src/ports.js';

export interface Step {
  /** The port and its method: `store.append`. */
  readonly point: string;
  /** What it is about: the types of the events, the topic, the projection, the name of the lease. */
  readonly about: readonly string[];
}

/** Called right before a step has its effect, and right after. When it throws, the step fails for the service; when it never resolves, the service never continues. */
export type OnStep = (step: Step, moment: 'before' | 'after') => Promise<void>;

type Call = (...args: any[]) => readonly string[];

/** The steps of each port, each with what its arguments say it is about. */
const STEPS = {
  store: {
    append: (writes: { events: { type: string }[] }[]) =>
      writes.flatMap(({ events }) => events.map(({ type }) => type)),
    read: (stream: string) => [categoryOf(stream)],
    subscribe: ({ categories }: { categories: string[] }) => categories,
    head: () => [],
  },
  bus: {
    publish: (topic: string, messages: { type: string }[]) => [topic, ...messages.map(({ type }) => type)],
  },
  tables: {
    checkpoint: ({ name }: { name: string }) => [name],
    load: ({ name }: { name: string }) => [name],
    commit: ({ projection }: { projection: { name: string } }) => [projection.name],
    due: ({ name }: { name: string }) => [name],
  },
  checkpoints: { load: (name: string) => [name], save: (name: string) => [name] },
  parked: {
    parkedKeys: (consumer: string) => [consumer],
    park: (consumer: string) => [consumer],
    due: (consumer: string) => [consumer],
    recordRetries: () => [],
  },
} satisfies { [Port in keyof ServicePorts]?: { [Method in keyof ServicePorts[Port]]?: Call } };

/** The same ports, with `onStep` before and after each of their steps. `bus.handle` is the work for a batch of messages. */
export function stepped(ports: ServicePorts, onStep: OnStep): ServicePorts {
  const wrapped = { ...ports };
  for (const [name, steps] of Object.entries(STEPS)) {
    Object.assign(wrapped, { [name]: steppedPort(name, ports[name as keyof typeof STEPS], steps, onStep) });
  }
  const { bus, store } = wrapped;
  const { append, read } = STEPS.store;
  const inTurn: typeof store.inTurn = (streams, work) =>
    ports.store.inTurn(streams, (turn) => work(steppedPort('store', turn, { append, read }, onStep)));
  const consume: typeof bus.consume = (options) =>
    ports.bus.consume({
      ...options,
      handle: async (batch, lost) => {
        const step = { point: 'bus.handle', about: [...options.topics, ...batch.map(({ type }) => type)] };
        await onStep(step, 'before');
        await options.handle(batch, lost);
        await onStep(step, 'after');
      },
    });
  return { ...wrapped, bus: override(bus, { consume }), store: override(store, { inTurn }) };
}

/** The same object, with `onStep` before and after each of the methods in `steps`. */
export function steppedPort<T extends object>(
  name: string,
  port: T,
  steps: Readonly<Record<string, Call>>,
  onStep: OnStep,
): T {
  const methods = Object.entries(steps).map(([method, about]) => {
    const call = (port as Record<string, (...args: unknown[]) => unknown>)[method]!.bind(port);
    const step = (args: unknown[]): Step => ({ point: `${name}.${method}`, about: about(...args) });
    const items = method === 'read' ? steppedRead : method === 'subscribe' ? steppedBatches : undefined;
    return [
      method,
      items
        ? (...args: unknown[]) => items(step(args), () => call(...args) as AsyncIterable<unknown>, onStep)
        : async (...args: unknown[]) => {
            await onStep(step(args), 'before');
            const result = await call(...args);
            await onStep(step(args), 'after');
            return result;
          },
    ];
  });
  return override(port, Object.fromEntries(methods));
}

/** A stream is read in one step, however long it is. */
async function* steppedRead<T>(step: Step, items: () => AsyncIterable<T>, onStep: OnStep): AsyncIterable<T> {
  await onStep(step, 'before');
  yield* items();
  await onStep(step, 'after');
}

/** Each batch arrives in a step of its own. */
async function* steppedBatches<T>(step: Step, items: () => AsyncIterable<T>, onStep: OnStep): AsyncIterable<T> {
  await onStep(step, 'before');
  for await (const item of items()) {
    await onStep(step, 'after');
    yield item;
  }
}

/** The same object, with these methods in the place of its own. */
export function override<T extends object>(object: T, methods: object): T {
  return new Proxy(object, {
    get: (target, key) => {
      const value: unknown = Reflect.get(Object.hasOwn(methods, key) ? methods : target, key);
      return typeof value === 'function' && !Object.hasOwn(methods, key) ? value.bind(target) : value;
    },
  });
}
