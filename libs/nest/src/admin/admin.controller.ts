/** What an operator of a service sees and decides: how far its read models are, and its dead letters. */
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { z } from 'zod';
import type { ParkedMessage, RecordedResolution } from '#message-bus';
import type { AnyProjection } from '#projections';
import { documented } from '../http/openapi.js';
import { PORTS } from '../tokens.js';
import type { ServicePorts } from '#service';
import { Problem } from '../http/problem.js';
import { progressOf, staleness } from '../boot/progress.js';

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
      stale: z
        .enum(['code', 'columns'])
        .optional()
        .describe('What has changed since its table was built: replay it; absent when nothing has'),
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

const decisionView = z.object({
  id: z.uuid(),
  deadLetterId: z.string().optional(),
  action: z.enum(['retry', 'skip']),
  actor: z.string().describe('Who decided'),
  reason: z.string(),
  decidedAt: z.iso.datetime(),
  consumer: z.string(),
  key: z.string(),
  message: deadLetterView.shape.message.describe('As it was then, and so are attempts and error'),
  attempts: z.int(),
  error: z.string(),
});

/** A bigint of Postgres, as text: JSON has no number for it. */
const deadLetterId = z.string().regex(/^\d{1,18}$/, 'This is not the id of a dead letter.');

const page = z.object({
  after: deadLetterId.default('0').describe('`next` of the page before'),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});

const decisionPage = z.object({
  after: z.uuid().optional().describe('`next` of the page before'),
  limit: page.shape.limit,
});

const decisionBody = z.strictObject({
  actor: z.string().trim().min(1).max(200).describe('Who decides'),
  reason: z.string().trim().min(1).max(2_000).describe('Why; it is kept with the decision'),
});

@Controller('admin')
export class AdminController {
  constructor(
    @Inject(PORTS) private readonly ports: ServicePorts,
    @Inject(PROJECTIONS) private readonly projections: readonly AnyProjection[],
  ) {}

  @Get('projections')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Shows how far the read models are' }))
  @documented(({ ApiResponse }) => ApiResponse({ status: 200, standardSchema: projectionsView }))
  async progress(): Promise<z.infer<typeof projectionsView>> {
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

  @Get('dead-letters')
  @documented(({ ApiOperation }) => ApiOperation({ summary: 'Lists the messages that wait for a person' }))
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      standardSchema: z.object({ items: z.array(deadLetterView), next: z.string().optional() }),
    }),
  )
  async deadLetters(@Query({ schema: page }) { after, limit }: z.infer<typeof page>) {
    const found = await this.ports.deadLetters.listDead(BigInt(after) + 1n, limit + 1);
    const items = found.slice(0, limit).map(viewOf);
    const last = found.length > limit ? items.at(-1) : undefined;
    return { items, ...(last && { next: last.id }) };
  }

  @Get('dead-letters/decisions')
  @documented(({ ApiOperation }) =>
    ApiOperation({ summary: 'Lists who decided what about dead letters, latest first' }),
  )
  @documented(({ ApiResponse }) =>
    ApiResponse({
      status: 200,
      standardSchema: z.object({ items: z.array(decisionView), next: z.string().optional() }),
    }),
  )
  async decisions(@Query({ schema: decisionPage }) { after, limit }: z.infer<typeof decisionPage>) {
    const found = await this.ports.deadLetters.resolutions({ limit: limit + 1, ...(after && { after }) });
    const items = found.slice(0, limit).map(decisionViewOf);
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
    const { ids, clock, log, deadLetters } = this.ports;
    const decided = await deadLetters.resolve(BigInt(id), { id: ids.next(), action, ...decision, at: clock.now() });
    if (!decided) {
      const [last] = await deadLetters.resolutions({ deadLetter: BigInt(id), limit: 1 });
      throw last ? decidedBefore(last) : new Problem(404, 'dead-letter-not-found', 'There is no such dead letter.');
    }
    const { consumer, message } = decided;
    log.warn(
      { deadLetter: id, action, ...decision, consumer, key: message.key, messageId: message.id },
      'A person decided about a dead letter.',
    );
    return viewOf(decided);
  }
}

/** It is no dead letter now: skipped for good, or retried and at work, or done. */
function decidedBefore(last: RecordedResolution): Problem {
  const { action, actor, reason, decidedAt } = decisionViewOf(last);
  const done = action === 'skip' ? 'skipped it' : 'had it retried';
  return new Problem(409, 'dead-letter-decided', `${actor} ${done} at ${decidedAt}: ${reason}`, {
    decision: { action, actor, reason, decidedAt },
  });
}

function viewOf(letter: ParkedMessage): z.infer<typeof deadLetterView> {
  const { id, parkedAt, deadAt } = letter;
  return { id: String(id), ...messageViewOf(letter), deadAt: (deadAt ?? parkedAt).toISOString() };
}

function decisionViewOf(decision: RecordedResolution): z.infer<typeof decisionView> {
  const { id, deadLetter, action, actor, reason, at } = decision;
  return {
    id,
    ...(deadLetter === undefined ? {} : { deadLetterId: String(deadLetter) }),
    action,
    actor,
    reason,
    decidedAt: at.toISOString(),
    ...messageViewOf(decision),
  };
}

function messageViewOf({ consumer, message, attempts, error }: ParkedMessage | RecordedResolution) {
  return { consumer, key: message.key, message: { ...message, offset: String(message.offset) }, attempts, error };
}
