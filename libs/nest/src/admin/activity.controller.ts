/** Tells an operator, and the gateway, what happens in a service while it happens. */
import { Controller, Get, Headers, Inject, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { EventStreams } from '../http/event-stream.js';
import { MAX_POSITION, ReadYourWrites } from '../http/position.js';
import { Problem } from '../http/problem.js';
import { refuses, route, streams, takesHeader } from '../http/route.js';
import { Activity } from './activity.js';

const position = z
  .string()
  .regex(/^\d{1,19}$/, 'This is not a position.')
  .transform(BigInt)
  .refine((it) => it <= MAX_POSITION, 'This is not a position.');

const activityQuery = z.object({
  after: position.optional().describe('The position after which it begins; by default now'),
});

@Controller('admin/activity')
export class ActivityController {
  constructor(
    @Inject(Activity) private readonly activity: Activity,
    @Inject(EventStreams) private readonly streams: EventStreams,
    @Inject(ReadYourWrites) private readonly reads: ReadYourWrites,
  ) {}

  @Get()
  @route(
    'Tells what happens, as server-sent events: `fact`, `shown` and `lag`',
    streams('What happens from now on, or after a position. The id of a `fact` is its position'),
    takesHeader('Last-Event-ID', {
      required: false,
      description: 'The id that was read last: what follows is sent. It counts more than `after`',
      schema: { type: 'string', pattern: '^[0-9]{1,19}$' },
    }),
    refuses(400, 'invalid-position', 'unknown-position'),
  )
  async followActivity(
    @Query({ schema: activityQuery }) query: z.infer<typeof activityQuery>,
    @Headers('last-event-id') lastId: string | undefined,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const after = lastId === undefined ? query.after : positionIn(lastId);
    await this.reads.refuseUnknown(after, `${after}`);
    await this.activity.listen(after, (from) => this.streams.open(request, reply, `${from}`));
  }
}

function positionIn(lastId: string): bigint {
  const parsed = position.safeParse(lastId);
  if (parsed.success) return parsed.data;
  throw new Problem(
    400,
    'invalid-position',
    'Last-Event-ID is not a position. Send it as an event gave it, or leave it out.',
  );
}
