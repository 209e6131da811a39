/** Shows an operator the dead letters of a service, and records and carries out what the operator resolves about them. */
import { Body, Controller, Get, Inject, Param, Post, Query } from '@nestjs/common';
import { z } from 'zod';
import type { ParkedMessage, RecordedResolution } from '#message-bus';
import { decidedBy, type ServicePorts } from '#service';
import { cursor, moment, pageLimit, pageOf, toPage } from '../http/page.js';
import { Problem } from '../http/problem.js';
import { answers, refuses, route } from '../http/route.js';
import { PORTS } from '../tokens.js';

const deadLetterView = z.object({
  id: z.string(),
  consumer: z.string(),
  key: z.string().describe('Later messages with this key wait behind it'),
  message: z.looseObject({ id: z.string(), type: z.string() }),
  attempts: z.int(),
  error: z.string(),
  deadAt: z.iso.datetime(),
});

const resolutionView = z.object({
  id: z.uuid(),
  deadLetterId: z.string().optional(),
  action: z.enum(['retry', 'skip']),
  actor: z.string().describe('Who decided'),
  reason: z.string(),
  decidedAt: z.iso.datetime(),
  consumer: z.string(),
  key: z.string(),
  message: deadLetterView.shape.message.describe('As it was then, like attempts and error'),
  attempts: z.int(),
  error: z.string(),
});

/** A bigint of Postgres, as text: JSON numbers are too small for it. */
const deadLetterId = z.string().regex(/^\d{1,18}$/, 'This is not the id of a dead letter.');

const pageQuery = z.object({ cursor: cursor(deadLetterId), limit: pageLimit });

const resolutionPageQuery = z.object({ cursor: cursor(moment, z.uuid()), limit: pageLimit });

const resolutionBody = z.strictObject(decidedBy);

const resolved = answers(200, 'The dead letter as it was', deadLetterView);
const unresolvable = [refuses(404, 'dead-letter-not-found'), refuses(409, 'dead-letter-decided')];

/** How many are decided about with one request. */
const AT_ONCE = 200;

@Controller('admin/dead-letters')
export class DeadLettersController {
  constructor(@Inject(PORTS) private readonly ports: ServicePorts) {}

  @Get()
  @route(
    'Lists the messages that wait for a person',
    answers(200, 'A page', pageOf(deadLetterView)),
    refuses(422, 'invalid-request'),
  )
  async listDeadLetters(@Query({ schema: pageQuery }) { cursor, limit }: z.infer<typeof pageQuery>) {
    const found = await this.ports.deadLetters.listDead(BigInt(cursor?.[0] ?? 0) + 1n, limit + 1);
    return toPage(found, limit, viewOf, ({ id }) => [String(id)]);
  }

  @Get('decisions')
  @route(
    'Lists who resolved which dead letter and how, latest first',
    answers(200, 'A page', pageOf(resolutionView)),
    refuses(422, 'invalid-request'),
  )
  async listDeadLetterResolutions(
    @Query({ schema: resolutionPageQuery }) { cursor, limit }: z.infer<typeof resolutionPageQuery>,
  ) {
    const after = cursor && { at: new Date(cursor[0]), id: cursor[1] };
    const found = await this.ports.deadLetters.resolutions({ limit: limit + 1, after });
    return toPage(found, limit, resolutionViewOf, ({ at, id }) => [at.toISOString(), id]);
  }

  @Post('retry')
  @route(
    `Has up to ${AT_ONCE} dead letters processed again, the oldest first; once more while some are left`,
    answers(200, 'How many are processed again, and how many are left', z.object({ retried: z.int(), left: z.int() })),
  )
  async retryDeadLetters(@Body({ schema: resolutionBody }) resolution: z.infer<typeof resolutionBody>) {
    const { ids, clock, log, deadLetters } = this.ports;
    const found = await deadLetters.listDead(1n, AT_ONCE);
    const decided = { action: 'retry', ...resolution, at: clock.now() } as const;
    // One that somebody else has decided about meanwhile is not retried.
    const resolved = await Promise.all(found.map(({ id }) => deadLetters.resolve(id, { id: ids.next(), ...decided })));
    const retried = resolved.filter((letter) => letter !== undefined).length;
    log.warn({ retried, ...resolution }, 'Dead letters were resolved together by a person.');
    return { retried, left: await deadLetters.countDead() };
  }

  @Post(':id/retry')
  @route('Has a dead letter processed again, with fresh attempts', resolved, ...unresolvable)
  retryDeadLetter(
    @Param('id', { schema: deadLetterId }) id: string,
    @Body({ schema: resolutionBody }) resolution: z.infer<typeof resolutionBody>,
  ) {
    return this.resolve(id, 'retry', resolution);
  }

  @Post(':id/skip')
  @route('Gives up a dead letter; the messages behind it continue', resolved, ...unresolvable)
  skipDeadLetter(
    @Param('id', { schema: deadLetterId }) id: string,
    @Body({ schema: resolutionBody }) resolution: z.infer<typeof resolutionBody>,
  ) {
    return this.resolve(id, 'skip', resolution);
  }

  private async resolve(id: string, action: 'retry' | 'skip', resolution: z.infer<typeof resolutionBody>) {
    const { ids, clock, log, deadLetters } = this.ports;
    const letter = await deadLetters.resolve(BigInt(id), { id: ids.next(), action, ...resolution, at: clock.now() });
    if (!letter) {
      const [last] = await deadLetters.resolutions({ deadLetter: BigInt(id), limit: 1 });
      throw last ? resolvedBefore(last) : new Problem(404, 'dead-letter-not-found', 'There is no such dead letter.');
    }
    const { consumer, message } = letter;
    log.warn(
      { deadLetter: id, action, ...resolution, consumer, key: message.key, messageId: message.id },
      'A dead letter was resolved by a person.',
    );
    return viewOf(letter);
  }
}

/** It is no longer a dead letter: skipped, or retried and in work or done. */
function resolvedBefore(last: RecordedResolution): Problem {
  const { action, actor, reason, decidedAt } = resolutionViewOf(last);
  const done = action === 'skip' ? 'skipped it' : 'had it retried';
  return new Problem(409, 'dead-letter-decided', `${actor} ${done} at ${decidedAt}: ${reason}`, {
    extras: { decision: { action, actor, reason, decidedAt } },
  });
}

function viewOf(letter: ParkedMessage): z.infer<typeof deadLetterView> {
  const { id, parkedAt, deadAt } = letter;
  return { id: String(id), ...messageViewOf(letter), deadAt: (deadAt ?? parkedAt).toISOString() };
}

function resolutionViewOf(resolution: RecordedResolution): z.infer<typeof resolutionView> {
  const { id, deadLetter, action, actor, reason, at } = resolution;
  return {
    id,
    ...(deadLetter === undefined ? {} : { deadLetterId: String(deadLetter) }),
    action,
    actor,
    reason,
    decidedAt: at.toISOString(),
    ...messageViewOf(resolution),
  };
}

function messageViewOf({ consumer, message, attempts, error }: ParkedMessage | RecordedResolution) {
  return { consumer, key: message.key, message: { ...message, offset: String(message.offset) }, attempts, error };
}
