/** The gateway as an application. */
import { Module } from '@nestjs/common';
import { type Health, type Metrics, type RunningApplication, startApplication } from '#nest';
import { ServerUnavailable } from '#runtime';
import { loadConfig } from '#service';
import { instanceName } from '#service/adapters';
import { services } from '../../../shop.js';
import { accessWith, type GatewayConfig, gatewayConfig, publicUrlOf, urlsOf } from '../definition.js';
import { Calls, openConnections } from './calls.js';
import { type LatestBalance, serveBalance } from './balance.js';
import { cacheAnswers } from './answer-cache.js';
import { serveConsole } from './console.js';
import { askForDocument } from './document.js';
import { serveFlow } from './flow.js';
import { forwardRoutes } from './forward.js';
import { serveFullOrders } from './full-order.js';
import { Instances } from './instances.js';
import { Login } from './login.js';
import { usePages } from './pages.js';
import { Sessions } from './sessions.js';
import { keepPositions } from './positions.js';
import { ownToken } from './provider.js';
import { serveStories } from './story.js';
import { Stream } from './stream.js';

@Module({})
class GatewayModule {}

/** @throws StartError when the configuration is wrong, or it cannot listen */
export async function startGateway({
  env = process.env,
  balance = () => undefined,
}: { env?: NodeJS.ProcessEnv; balance?: LatestBalance } = {}): Promise<RunningApplication> {
  const config = loadConfig(gatewayConfig, env) as GatewayConfig;
  const { hostname, protocol } = publicUrlOf(config);
  const access = accessWith(config);
  const options = {
    name: 'gateway',
    config: { ...config, ALLOWED_HOSTS: [...config.ALLOWED_HOSTS, hostname] },
    access,
  };
  return startApplication(options, async (parts) => {
    const { runtime, background, health, metrics, tokens } = parts;
    const { clock, log } = runtime;
    const agent = openConnections();
    background.onClose(() => agent.close());
    const instances = new Instances(urlsOf(config), { ...runtime, agent });
    const help = 'Requests to instances, and calls that led to none, by how they ended.';
    const count = metrics.counter('larder_forwarded_total', help, ['target', 'outcome']);
    const calls = new Calls(instances, { ...runtime, agent, count });
    await instances.look();
    background.run((signal) => instances.watch(signal));
    showServices(instances, calls, health, metrics);
    const cookies = { secrets: config.GATEWAY_SECRET, isHttps: protocol === 'https:', clock };
    const sessions = new Sessions(cookies);
    const login = new Login({ config, access, sessions, cookies, tokens, clock, log });
    const stream = new Stream({ ...runtime, instances, token: ownToken(config), stopping: background.stopping });
    background.run((signal) => stream.run(signal));
    background.onClose(() => stream.close());
    return {
      module: { module: GatewayModule },
      beforeAccess: (http) => {
        usePages(http);
        sessions.use(http, access);
      },
      routes: (http) => {
        // What the cache has been asked for is over before a read is sent again without positions.
        cacheAnswers(http, { clock, cacheTimeMs: config.CACHE_TIME });
        keepPositions(http, { secrets: config.GATEWAY_SECRET, ids: runtime.ids });
        login.serve(http);
        serveFullOrders(http, { clock, readTimeoutMs: config.READ_TIMEOUT });
        serveStories(http, { clock });
        serveFlow(http, {
          clock,
          agent,
          instances,
          calls,
          name: instanceName(config),
          readers: () => stream.readers,
        });
        stream.serve(http);
        if (config.TROUBLE) serveBalance(http, balance);
        serveConsole(http);
        forwardRoutes(http, { calls, config });
      },
      document: (request) => askForDocument(request, { clock }),
    };
  });
}

/** It is ready as long as it can forward anything. */
export function showServices(instances: Instances, calls: Calls, health: Health, metrics: Metrics): void {
  health.add('instances', async () => {
    if (!services.some((service) => instances.canReach(service)))
      throw new ServerUnavailable('No service can be reached.');
  });
  for (const service of services) {
    const check = async () => {
      const ready = instances.ready(service).length;
      return { ready, ...(ready === 0 && { status: 'down' }), ...(calls.isOpen(service) && { circuit: 'open' }) };
    };
    health.add(service, check, { needed: false });
  }
  const perInstance = async () =>
    services.map((service) => ({ labels: { target: service }, value: instances.ready(service).length }));
  const perCircuit = async () =>
    services.map((service) => ({ labels: { target: service }, value: calls.isOpen(service) ? 1 : 0 }));
  metrics.gauge('larder_instances_ready', 'Instances that requests are sent to.', ['target'], perInstance);
  metrics.gauge('larder_service_circuit', '0 is closed, 1 open.', ['target'], perCircuit);
}
