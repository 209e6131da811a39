/** Shows an operator the dead letters of a service, and records and carries out what the operator resolves about them. */
import { Body, Controller, Get, Inject, Param, Post, Query } from '@nestjs/common';
import { z } from 'zod';
import type { Cause } from '#event-store';
import type { ParkedMessage, RecordedResolution } from '#message-bus';
import { type Caller, decisionReason, type ServicePorts } from '#service';
import { RequestCaller } from '../access/guard.js';
import { RequestCause } from '../http/correlation.js';
import { cursor, cursorOf, moment, pageLimit, pageOf, toPage } from '../http/page.js';
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
  actor: z.string().describe('Who decided: the subject of their token'),
  reason: z.string(),
  decidedAt: z.iso.datetime(),
  correlationId: z.string().optional().describe('Of the request; decisions about many dead letters at once share it'),
  consumer: z.string(),
  key: z.string(),
  message: deadLetterView.shape.message.describe('As it was then, like attempts and error'),
  attempts: z.int(),
  error: z.string(),
  outcome: z
    .enum(['skipped', 'waiting', 'handled', 'dead-again'])
    .optional()
    .describe('What became of it; absent for the retries of early versions'),
});

/** A bigint of Postgres, as text: JSON numbers are too small for it. */
const deadLetterId = z.string().regex(/^\d{1,18}$/, 'This is not the id of a dead letter.');

/** Which dead letters are meant. Not checked against the contracts: a letter may be older than what this release knows. */
const filterText = z.string().min(1).max(1_000).optional();
const filters = {
  topic: filterText.describe('Only those of this topic'),
  type: filterText.describe('Only messages of this type'),
  error: filterText.describe('Only those whose error begins with this'),
};

const pageQuery = z.object({ ...filters, cursor: cursor(deadLetterId), limit: pageLimit });

const kindsQuery = z.object(filters);

const kindsView = z.object({
  items: z.array(
    z.object({
      topic: z.string(),
      type: z.string(),
      error: z.string().describe('What their errors begin with, up to where they differ; a value for `error`'),
      count: z.int(),
    }),
  ),
  others: z.int().describe('How many dead letters are not among these: of further kinds, or after the oldest 10,000'),
});

const resolutionPageQuery = z.object({ cursor: cursor(moment, z.uuid()), limit: pageLimit });

const resolutionBody = z.strictObject(decisionReason);

const manyBody = z.strictObject({
  ...decisionReason,
  ...filters,
  cursor: cursor(deadLetterId).describe('`next` of the previous answer'),
});
type ManyBody = z.infer<typeof manyBody>;

/** To give up whatever there is would be a slip. */
const skipManyBody = manyBody
  .refine(({ topic, type, error }) => (topic ?? type ?? error) !== undefined, {
    error: 'Say which dead letters to skip, with a topic, a type or an error; a single one is skipped by its id.',
  })
  .meta({ anyOf: Object.keys(filters).map((filter) => ({ required: [filter] })) });

const resolved = answers(200, 'The dead letter as it was', deadLetterView);
const unresolvable = [refuses(404, 'dead-letter-not-found'), refuses(409, 'dead-letter-decided')];

/** How many are decided about with one request. */
const AT_ONCE = 200;
/** How many kinds are told apart. */
const KINDS = 100;

const rest = {
  left: z.int().describe('How many dead letters match now'),
  next: z.string().optional().describe('`cursor` of the next request, if more may match'),
};

@Controller('admin/dead-letters')
export class DeadLettersController {
  constructor(@Inject(PORTS) private readonly ports: ServicePorts) {}

  @Get()
  @route(
    'Lists the messages that wait for a person',
    answers(200, 'A page', pageOf(deadLetterView)),
    refuses(422, 'invalid-request'),
  )
  async listDeadLetters(@Query({ schema: pageQuery }) { cursor, limit, ...filter }: z.infer<typeof pageQuery>) {
    const found = await this.ports.deadLetters.listDead(following(cursor), limit + 1, filter);
    return toPage(found, limit, viewOf, ({ id }) => [String(id)]);
  }

  @Get('kinds')
  @route(
    `Counts the messages that wait for a person by topic, type and error: the ${KINDS} most frequent kinds`,
    answers(200, 'The kinds, the most frequent first', kindsView),
  )
  async countDeadLetterKinds(@Query({ schema: kindsQuery }) filter: z.infer<typeof kindsQuery>) {
    const { kinds, others } = await this.ports.deadLetters.countKinds(KINDS, filter);
    return { items: kinds, others };
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
    `Has up to ${AT_ONCE} dead letters processed again, the oldest first`,
    answers(200, 'How many are processed again, and what is left', z.object({ retried: z.int(), ...rest })),
  )
  async retryDeadLetters(
    @Body({ schema: manyBody }) body: ManyBody,
    @RequestCaller() caller: Caller,
    @RequestCause() cause: Cause,
  ) {
    const { resolved: retried, ...rest } = await this.resolveMany('retry', body, caller, cause);
    return { retried, ...rest };
  }

  @Post('skip')
  @route(
    `Gives up to ${AT_ONCE} dead letters up, the oldest first; the messages behind them continue`,
    answers(200, 'How many are given up, and what is left', z.object({ skipped: z.int(), ...rest })),
  )
  async skipDeadLetters(
    @Body({ schema: skipManyBody }) body: ManyBody,
    @RequestCaller() caller: Caller,
    @RequestCause() cause: Cause,
  ) {
    const { resolved: skipped, ...rest } = await this.resolveMany('skip', body, caller, cause);
    return { skipped, ...rest };
  }

  @Post(':id/retry')
  @route('Has a dead letter processed again, with fresh attempts', resolved, ...unresolvable)
  retryDeadLetter(
    @Param('id', { schema: deadLetterId }) id: string,
    @Body({ schema: resolutionBody }) resolution: z.infer<typeof resolutionBody>,
    @RequestCaller() caller: Caller,
    @RequestCause() cause: Cause,
  ) {
    return this.resolve(id, 'retry', resolution, caller, cause);
  }

  @Post(':id/skip')
  @route('Gives up a dead letter; the messages behind it continue', resolved, ...unresolvable)
  skipDeadLetter(
    @Param('id', { schema: deadLetterId }) id: string,
    @Body({ schema: resolutionBody }) resolution: z.infer<typeof resolutionBody>,
    @RequestCaller() caller: Caller,
    @RequestCause() cause: Cause,
  ) {
    return this.resolve(id, 'skip', resolution, caller, cause);
  }

  private async resolveMany(
    action: 'retry' | 'skip',
    { reason, cursor, ...filter }: ManyBody,
    { subject: actor }: Caller,
    { correlationId }: Cause,
  ) {
    const { ids, clock, log, deadLetters } = this.ports;
    const decision = { action, actor, reason, at: clock.now(), correlationId };
    const decisionIds = Array.from({ length: AT_ONCE }, () => ids.next());
    const resolved = await deadLetters.resolveMany(following(cursor), filter, decision, decisionIds);
    const [last] = resolved.slice(-1);
    const { length: count } = resolved;
    log.warn(
      { action, count, ...filter, actor, reason, correlationId },
      'A person decided about dead letters together.',
    );
    return {
      resolved: count,
      left: await deadLetters.countDead(filter),
      ...(last !== undefined && count === AT_ONCE && { next: cursorOf(String(last)) }),
    };
  }

  private async resolve(
    id: string,
    action: 'retry' | 'skip',
    { reason }: z.infer<typeof resolutionBody>,
    { subject: actor }: Caller,
    { correlationId }: Cause,
  ) {
    const { ids, clock, log, deadLetters } = this.ports;
    const decision = { id: ids.next(), action, actor, reason, at: clock.now(), correlationId };
    const letter = await deadLetters.resolve(BigInt(id), decision);
    if (!letter) {
      const [last] = await deadLetters.resolutions({ deadLetter: BigInt(id), limit: 1 });
      throw last ? resolvedBefore(last) : new Problem(404, 'dead-letter-not-found', 'There is no such dead letter.');
    }
    const { consumer, message } = letter;
    log.warn(
      { deadLetter: id, action, actor, reason, consumer, key: message.key, messageId: message.id },
      'A dead letter was resolved by a person.',
    );
    return viewOf(letter);
  }
}

/** The first id that may be behind a place. */
function following(place: readonly string[] | undefined): bigint {
  return BigInt(place?.[0] ?? 0) + 1n;
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
  const { id, deadLetter, action, actor, reason, at, correlationId, outcome } = resolution;
  return {
    id,
    ...(deadLetter === undefined ? {} : { deadLetterId: String(deadLetter) }),
    action,
    actor,
    reason,
    decidedAt: at.toISOString(),
    ...(correlationId !== undefined && { correlationId }),
    ...messageViewOf(resolution),
    ...(outcome !== undefined && { outcome }),
  };
}

function messageViewOf({ consumer, message, attempts, error }: ParkedMessage | RecordedResolution) {
  return { consumer, key: message.key, message: { ...message, offset: String(message.offset) }, attempts, error };
}
