/** The OpenAPI document of each service, as its `/docs-json` serves it, without starting the service. */
import { Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { inventoryOptions } from '../../../apps/inventory/src/http/inventory.module.js';
import { orderOptions } from '../../../apps/order/src/http/order.module.js';
import { paymentOptions } from '../../../apps/payment/src/http/payment.module.js';
import { AdminController, PROJECTIONS } from '../../../libs/nest/src/admin/admin.controller.js';
import { openApiDocument } from '../../../libs/nest/src/http/openapi.js';
import { Background, CONFIG, DATABASE, Health, Metrics, PORTS, ReadYourWrites, type ServiceOptions } from '#service';
import type { Service } from '../shop.js';

const options: Record<Service, ServiceOptions> = {
  order: orderOptions,
  inventory: inventoryOptions,
  payment: paymentOptions,
};

/** What boot.ts provides. In a preview nothing is made of it. */
const provided = [PORTS, CONFIG, DATABASE, PROJECTIONS, Background, Health, Metrics, ReadYourWrites];

@Module({})
class PreviewModule {}

export async function openApi(service: Service): Promise<object> {
  const module = {
    module: PreviewModule,
    global: true,
    imports: [options[service].module as Type],
    controllers: [AdminController],
    providers: provided.map((provide) => ({ provide, useValue: undefined })),
    exports: provided,
  };
  const app = await NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter(), {
    preview: true,
    logger: ['error'],
    abortOnError: false,
  });
  return openApiDocument(app, `Larder: ${service}`);
}
