/** Shows an operator how current a service's read models are. */
import { Controller, Get, Inject } from '@nestjs/common';
import { z } from 'zod';
import type { AnyProjection } from '#projections';
import type { ServicePorts } from '#service';
import { progressOf, staleness } from '../boot/progress.js';
import { answers, route } from '../http/route.js';
import { PORTS, PROJECTIONS } from '../tokens.js';

const projectionsView = z.object({
  items: z.array(
    z.object({
      name: z.string(),
      table: z.string(),
      position: z.int().describe('The position of the last event that it shows'),
      head: z.int().describe('The position of the last event in the store'),
      lag: z.int(),
      stale: z
        .enum(['code', 'columns'])
        .optional()
        .describe('What has changed since its table was built: rebuild it with replay; absent when nothing has'),
    }),
  ),
});

@Controller('admin/projections')
export class ProjectionsController {
  constructor(
    @Inject(PORTS) private readonly ports: ServicePorts,
    @Inject(PROJECTIONS) private readonly projections: readonly AnyProjection[],
  ) {}

  @Get()
  @route('Shows how current the read models are', answers(200, 'All of them', projectionsView))
  async listProjections(): Promise<z.infer<typeof projectionsView>> {
    const items = this.projections.map(async (projection) => {
      const { name, table } = projection;
      return {
        name,
        table,
        ...(await progressOf(projection, this.ports)),
        ...(await staleness(projection, this.ports)),
      };
    });
    return { items: await Promise.all(items) };
  }
}
