/** Shows an operator how the service flows. */
import { Controller, Get, Inject } from '@nestjs/common';
import { type ServiceFlow, serviceFlow } from '#service';
import { answers, route } from '../http/route.js';
import { Flow } from './flow.js';

@Controller('admin/flow')
export class FlowController {
  constructor(@Inject(Flow) private readonly flow: Flow) {}

  @Get()
  @route(
    'Shows in figures what moves, what is behind, who holds which lease, and the circuits of the instance that answers',
    answers(200, 'As of now, or half a second ago', serviceFlow),
  )
  showFlow(): Promise<ServiceFlow> {
    return this.flow.tell();
  }
}
