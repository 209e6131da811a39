/** An application of one Nest module for a spec, on a free port; whatever the spec does not give is as harmless as it can be. */
import type { Type } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { SequentialIds } from '#runtime/testing';
import { silentLog, SystemClock } from '#runtime';
import { Background } from '../../libs/nest/src/boot/background.js';
import { Health } from '../../libs/nest/src/boot/health.js';
import { Metrics } from '../../libs/nest/src/boot/metrics.js';
import { createApp, type HttpOptions, type HttpParts } from '../../libs/nest/src/http/create-app.js';
import { limitsOf } from './rate-limits.js';

interface Options extends Pick<HttpOptions, 'access' | 'rawBody' | 'routes' | 'document'>, Partial<HttpParts> {
  readonly module: Type;
}

const NO_TOKENS = {
  known: () => undefined,
  identify: () => Promise.reject(new Error('Nobody is asked who they are here.')),
};

export async function openApp({
  module,
  access,
  rawBody,
  routes,
  document,
  ...parts
}: Options): Promise<NestFastifyApplication> {
  const { clock = new SystemClock(), log = silentLog as never } = parts;
  const { background = new Background(log) } = parts;
  const providers = [{ provide: Background, useValue: background }];
  const app = await createApp(
    {
      name: 'order',
      module: { module, providers },
      access,
      ...(rawBody !== undefined && { rawBody }),
      ...(routes && { routes }),
      ...(document && { document }),
    },
    {
      clock,
      ids: new SequentialIds(),
      log,
      background,
      health: new Health(clock),
      metrics: new Metrics('order'),
      tokens: NO_TOKENS,
      rateLimits: limitsOf({ clock, log }),
      requestTimeoutMs: 10_000,
      readTimeoutMs: 1_000,
      ...parts,
    },
  );
  await app.listen(0, '127.0.0.1');
  return app;
}
