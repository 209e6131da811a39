/** The gateway as an application. */
import { Module } from '@nestjs/common';
import { type RunningApplication, startApplication } from '#nest';
import { loadConfig } from '#service';
import { gatewayAccess, type GatewayConfig, gatewayConfig, urlsOf } from '../definition.js';
import { forwardRoutes } from './forward.js';
import { Instances } from './instances.js';

@Module({})
class GatewayModule {}

/** @throws StartError when the configuration is wrong, or it cannot listen */
export async function startGateway({
  env = process.env,
}: { env?: NodeJS.ProcessEnv } = {}): Promise<RunningApplication> {
  const config = loadConfig(gatewayConfig, env) as GatewayConfig;
  return startApplication({ name: 'gateway', config, access: gatewayAccess }, async ({ runtime, background }) => {
    const instances = new Instances(urlsOf(config), runtime);
    background.run((signal) => instances.watch(signal));
    return {
      module: { module: GatewayModule },
      routes: (http) => forwardRoutes(http, { instances, config }),
    };
  });
}
