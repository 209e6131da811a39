/** What an operator of a service sees and decides: how far its read models are, and its dead letters. */
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { z } from 'zod';
import type { ParkedMessage } from '#message-bus';
import type { Projection } from '#projections';
import { documented } from './openapi.js';
import { PORTS, type ServicePorts } from './ports.js';
import { Problem } from './problem.js';
import { progressOf } from './progress.js';

/** The service's projections. */
export const PROJECTIONS = Symbol('PROJECTIONS');

const projectionsView = z.object({
  items: z.array(
    z.object({
      name: z.string(),
      table: z.string(),
      position: z.int().describe('The position of the last event that it shows'),
      head: z.int().describe('The position of the last event there is'),
      lag: z.int(),
    }),
  ),
});

const deadLetterView = z.object({
  id: z.string(),
  consumer: z.string(),
  key: z.string().describe('Later messages with this key wait behind it'),
  message: z.looseObject({ id: z.string(), type: z.string() }),
  attempts: z.int(),
  error: z.string(),
  deadAt: z.iso.datetime(),
});

/** A bigint of Postgres, as text: JSON has no number for it. */
const deadLetterId = z.string().regex(/^\d{1,18}$/, 'This is not the id of a dead letter.');

const page = z.object({
  after: deadLetterId.default('0').describe('`next` of the page before'),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});

const decisionBody = z.strictObject({
  actor: z.string().trim().min(1).max(200).describe('Who decides'),
  reason: z.string().trim().min(1).max(2_000).describe('Why; it is kept with the decision'),
});

@Controller('admin')
export class AdminController {
  constructor(
    @Inject(PORTS) private readonly ports: ServicePorts,
    @Inject(PROJECTIONS) private readonly projections: readonly Projection<any, any>[],
  ) {}

  @Get('projections')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Shows how far the read models are' }))
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, standardSchema: projectionsView }))
  async progress(): Promise<z.infer<typeof projectionsView>> {
    const items = this.projections.map(async (projection) => {
      const { name, table } = projection;
      return { name, table, ...(await progressOf(projection, this.ports)) };
    });
    return { items: await Promise.all(items) };
  }

  @Get('dead-letters')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Lists the messages that wait for a person' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      standardSchema: z.object({ items: z.array(deadLetterView), next: z.string().optional() }),
    }),
  )
  async deadLetters(@Query({ schema: page }) { after, limit }: z.infer<typeof page>) {
    const found = await this.ports.parked.deadLetters(BigInt(after) + 1n, limit + 1);
    const items = found.slice(0, limit).map(viewOf);
    const last = found.length > limit ? items.at(-1) : undefined;
    return { items, ...(last && { next: last.id }) };
  }

  @Post('dead-letters/:id/retry')
  @HttpCode(200)
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Has a dead letter tried again, with fresh attempts' }))
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, standardSchema: deadLetterView }))
  retry(
    @Param('id', { schema: deadLetterId }) id: string,
    @Body({ schema: decisionBody }) decision: z.infer<typeof decisionBody>,
  ) {
    return this.decide(id, 'retry', decision);
  }

  @Post('dead-letters/:id/skip')
  @HttpCode(200)
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Gives up a dead letter; those behind it go on' }))
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, standardSchema: deadLetterView }))
  skip(
    @Param('id', { schema: deadLetterId }) id: string,
    @Body({ schema: decisionBody }) decision: z.infer<typeof decisionBody>,
  ) {
    return this.decide(id, 'skip', decision);
  }

  private async decide(id: string, action: 'retry' | 'skip', decision: z.infer<typeof decisionBody>) {
    const { ids, clock, log, parked } = this.ports;
    const decided = await parked.decide(BigInt(id), { id: ids.next(), action, ...decision, at: clock.now() });
    if (!decided)
      throw new Problem(404, 'dead-letter-not-found', 'There is no such dead letter, or it was decided before.');
    log.warn({ deadLetter: id, action, ...decision }, 'A person decided about a dead letter.');
    return viewOf(decided);
  }
}

function viewOf({
  id,
  consumer,
  message,
  attempts,
  error,
  parkedAt,
  deadAt,
}: ParkedMessage): z.infer<typeof deadLetterView> {
  const { offset, ...rest } = message;
  return {
    id: String(id),
    consumer,
    key: message.key,
    message: { ...rest, offset: String(offset) },
    attempts,
    error,
    deadAt: (deadAt ?? parkedAt).toISOString(),
  };
}
