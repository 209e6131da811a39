/** The OpenAPI document of each service, as its `/docs-json` serves it, without starting the service. */
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Activity } from '../../../libs/nest/src/admin/activity.js';
import { ActivityController } from '../../../libs/nest/src/admin/activity.controller.js';
import { DeadLettersController } from '../../../libs/nest/src/admin/dead-letters.controller.js';
import { FlowController } from '../../../libs/nest/src/admin/flow.controller.js';
import { ProjectionsController } from '../../../libs/nest/src/admin/projections.controller.js';
import { EventStreams } from '../../../libs/nest/src/http/event-stream.js';
import { StoriesController } from '../../../libs/nest/src/admin/stories.controller.js';
import { ProjectionWatch } from '../../../libs/nest/src/boot/progress.js';
import { type OpenApi, openApiDocument } from '../../../libs/nest/src/http/openapi.js';
import { DEFINITION } from '../../../libs/nest/src/tokens.js';
import { Background, CONFIG, DATABASE, Flow, Health, Metrics, PORTS, ReadYourWrites } from '#nest';
import { Replays } from '#projections/postgres';
import { type Service, shop } from '../../../apps/shop.js';

/** What boot.ts provides. A preview instantiates none of it. */
const provided = [
  PORTS,
  CONFIG,
  DATABASE,
  DEFINITION,
  ProjectionWatch,
  Replays,
  Activity,
  EventStreams,
  Flow,
  Background,
  Health,
  Metrics,
  ReadYourWrites,
];

@Module({})
class PreviewModule {}

export async function openApi(service: Service): Promise<OpenApi> {
  const module = {
    module: PreviewModule,
    global: true,
    imports: [(await shop[service].module()).default],
    controllers: [ActivityController, FlowController, ProjectionsController, DeadLettersController, StoriesController],
    providers: provided.map((provide) => ({ provide, useValue: undefined })),
    exports: provided,
  };
  const app = await NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter(), {
    preview: true,
    logger: ['error'],
    abortOnError: false,
  });
  return openApiDocument(app, `Larder: ${service}`, shop[service].access);
}
