/** Shows staff what the service knows of an order. */
import { Controller, Get, Inject, Param } from '@nestjs/common';
import { orderId } from '#contracts';
import { type OrderStory, orderStory, type ServiceDefinition, type ServicePorts, storyOf } from '#service';
import { answers, refuses, route } from '../http/route.js';
import { DEFINITION, PORTS } from '../tokens.js';

@Controller('admin/stories')
export class StoriesController {
  constructor(
    @Inject(PORTS) private readonly ports: ServicePorts,
    @Inject(DEFINITION) private readonly definition: ServiceDefinition,
  ) {}

  @Get(':orderId')
  @route(
    'Shows what happened to an order in this service, and since when each read model shows it',
    answers(200, 'Its events, oldest first: none when the service knows nothing of it', orderStory),
    refuses(404, 'order-not-found'),
  )
  showStory(@Param('orderId', { schema: orderId }) id: string): Promise<OrderStory> {
    return storyOf(this.definition, this.ports, id);
  }
}
