/**
 * A Nest application on Fastify as `nest new` makes it, with one controller and nothing else: what a service's memory is
 * compared with. Plain JavaScript, as the compiler would write it, so that nothing but Nest is loaded; and without any
 * setting of V8 or of the allocator.
 */
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';

class AppController {
  hello() {
    return { hello: 'world' };
  }
}
Get()(AppController.prototype, 'hello', Object.getOwnPropertyDescriptor(AppController.prototype, 'hello'));
Controller()(AppController);

class AppModule {}
Module({ controllers: [AppController] })(AppModule);

const app = await NestFactory.create(AppModule, new FastifyAdapter(), { logger: ['error', 'warn'] });
await app.listen(0, '127.0.0.1');
process.send(await app.getUrl());
process.on('disconnect', () => process.exit());
