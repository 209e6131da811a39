/** A service as an application: its ports are opened, its progress is watched, and it shows what it has of it to operators. */
import { type InjectionToken, Module, type Type } from '@nestjs/common';
import { withUpcasters } from '#event-store';
import { forgetOldShown } from '#projections';
import { Replays } from '#projections/postgres';
import { ServerUnavailable, supervise } from '#runtime';
import { instanceName, openPorts, throughSilence } from '#service/adapters';
import {
  type BaseConfig,
  commonTroubles,
  loadConfig,
  type ServiceDefinition,
  type ServicePorts,
  troubleAccess,
  Troubles,
  withTroubles,
} from '#service';
import { PostgresCounts } from '../access/shared-counts.js';
import { Activity } from '../admin/activity.js';
import { ActivityController } from '../admin/activity.controller.js';
import { DeadLettersController } from '../admin/dead-letters.controller.js';
import { Flow } from '../admin/flow.js';
import { FlowController } from '../admin/flow.controller.js';
import { ProjectionsController } from '../admin/projections.controller.js';
import { EventStreams } from '../http/event-stream.js';
import { StoriesController } from '../admin/stories.controller.js';
import { TroublesController } from '../admin/troubles.controller.js';
import { ReadYourWrites } from '../http/position.js';
import { CONFIG, DATABASE, DEFINITION, PORTS } from '../tokens.js';
import { runApplication, type RunningApplication, startApplication } from './application.js';
import { Health } from './health.js';
import { Metrics } from './metrics.js';
import { ProjectionWatch, watchLoops, WatchedStore } from './progress.js';

export interface BootOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Wraps the ports, for measuring or for the faults that a test injects. */
  readonly wrapPorts?: (ports: ServicePorts) => ServicePorts;
}

/** Of a service: for its operators, and for a gateway that tells it to many. */
const MAX_LISTENERS = 20;

@Module({})
class ServiceModule {}

/**
 * Starts a service in this process and returns when it listens.
 * @throws StartError when the configuration is wrong or a server stays unreachable
 */
export async function startService(
  definition: ServiceDefinition,
  module: Type,
  { env = process.env, wrapPorts = (ports) => ports }: BootOptions = {},
): Promise<RunningApplication> {
  const { name, projections, subscribes } = definition;
  const given = loadConfig(definition.config, env) as BaseConfig;
  const access = { ...definition.access, ...(given.TROUBLE && troubleAccess) };
  return startApplication({ ...definition, access, config: given }, async (parts) => {
    const { runtime, background, health, metrics } = parts;
    const { clock } = runtime;
    const troubles = given.TROUBLE && new Troubles({ ...commonTroubles, ...definition.troubles }, runtime);
    const config = troubles ? await throughSilence(given, troubles, background) : given;
    const counters = {
      skipped: metrics.counter('larder_messages_skipped_total', 'Messages of a type that is not known here.', [
        'topic',
      ]),
      dead: metrics.counter('larder_dead_letters_total', 'Messages that became dead letters.', ['topic']),
    };
    const { ports: opened, pool } = await openPorts(definition, config, { ...runtime, counters }, background);
    const wrapped = wrapPorts(troubles ? withTroubles(opened, troubles) : opened);
    const store = new WatchedStore(wrapped.store, clock);
    const ports = { ...wrapped, store };
    health.add('store', async () => {
      store.refuseSilence(config.REQUEST_TIMEOUT);
      await store.head();
    });
    const checkBus = async () => {
      const news = await ports.bus.ping();
      const missed = await ports.bus.missed(name);
      return { ...news, ...(missed.length > 0 && { missed }) };
    };
    // Events wait in the store until the bus is back. A gateway that took the service out would close the shop for nothing.
    health.add('bus', checkBus, { needed: false });
    health.add('database', async () => {
      const { rows } = await pool.query<{ refuses: boolean }>(
        `SELECT current_setting('transaction_read_only')::boolean AS refuses`,
      );
      if (rows[0]!.refuses) throw new ServerUnavailable('The database takes no writes.');
    });
    const watch = new ProjectionWatch(projections, ports);
    watch.show(health, metrics);
    watchLoops(definition, ports, health);
    metrics.gauge(
      'larder_messages_missed',
      'Messages that the bus deleted before the service had read them.',
      ['topic'],
      async () => {
        const missed = new Map((await ports.bus.missed(name)).map(({ topic, messages }) => [topic, messages]));
        return subscribes.map(({ name: topic }) => ({ labels: { topic }, value: missed.get(topic) ?? 0 }));
      },
    );
    metrics.gauge('larder_dead_letters', 'Messages that wait for a person.', [], async () => [
      { labels: {}, value: await ports.deadLetters.countDead() },
    ]);

    const replays = new Replays({
      ...ports,
      databaseUrl: config.DATABASE_URL,
      pool,
      store: withUpcasters(store, definition.upcasters),
      projections,
    });
    background.run((signal) => supervise('replays', ports, signal, (s) => replays.run(s)));
    const activity = new Activity(definition, ports);
    background.onClose(() => activity.close());
    const streams = new EventStreams({ clock, stopping: background.stopping, max: MAX_LISTENERS });
    background.run((signal) => streams.run(signal));

    const provided: [InjectionToken, object][] = [
      [CONFIG, config],
      [PORTS, ports],
      [DATABASE, pool],
      [ProjectionWatch, watch],
      [Replays, replays],
      [DEFINITION, definition],
      [Activity, activity],
      [EventStreams, streams],
      [Flow, new Flow(definition, ports, instanceName(config))],
      [Health, health],
      [Metrics, metrics],
      [ReadYourWrites, new ReadYourWrites(ports, config.READ_TIMEOUT, background.stopping)],
      ...(troubles ? [[Troubles, troubles] as [InjectionToken, object]] : []),
    ];
    const root = {
      module: ServiceModule,
      global: true,
      imports: [module],
      controllers: [
        ActivityController,
        FlowController,
        ProjectionsController,
        DeadLettersController,
        StoriesController,
        ...(troubles ? [TroublesController] : []),
      ],
      providers: provided.map(([provide, useValue]) => ({ provide, useValue })),
      exports: provided.map(([token]) => token),
    };
    const counts = new PostgresCounts(pool);
    background.run((signal) => counts.clean(clock, signal));
    background.run((signal) => supervise('shown', ports, signal, (s) => forgetOldShown(projections, ports, s)));
    return { module: root, counts };
  });
}

/** The whole of a service's `main.ts`. */
export async function bootService(
  definition: ServiceDefinition,
  module: Type,
  options: BootOptions = {},
): Promise<void> {
  await runApplication(definition.name, () => startService(definition, module, options));
}
