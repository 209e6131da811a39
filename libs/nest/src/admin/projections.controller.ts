/** Shows an operator how current a service's read models are, and has one rebuilt, compared with its events or rolled back. */
import { Body, Controller, Get, Inject, Param, Post, Query } from '@nestjs/common';
import type pg from 'pg';
import { z } from 'zod';
import type { Cause } from '#event-store';
import { previousTable, type Replay, Replays } from '#projections/postgres';
import { type Caller, decisionReason, type ServicePorts } from '#service';
import { RequestCaller } from '../access/guard.js';
import { ProjectionWatch } from '../boot/progress.js';
import { Answer } from '../http/answer.js';
import { RequestCause } from '../http/correlation.js';
import { cursor, moment, pageLimit, pageOf, toPage } from '../http/page.js';
import { Problem } from '../http/problem.js';
import { answers, refuses, route } from '../http/route.js';
import { DATABASE, PORTS } from '../tokens.js';

const action = z.enum(['rebuild', 'compare', 'rollback']);

const row = z.looseObject({}).describe('By column');

const replayView = z
  .object({
    id: z.uuid(),
    projection: z.string(),
    action,
    actor: z.string().describe('Who asked: the subject of their token'),
    reason: z.string(),
    correlationId: z.string().optional().describe('Of the request that asked'),
    askedAt: z.iso.datetime(),
    startedAt: z.iso.datetime().optional(),
    switchedAt: z.iso.datetime().optional().describe('Since when its table is in use'),
    endedAt: z.iso.datetime().optional(),
    status: z.enum(['waiting', 'running', 'done', 'failed']),
    progress: z
      .object({ events: z.int(), position: z.int(), from: z.int(), target: z.int() })
      .optional()
      .describe('The events that it has read, where it is and began, and how far it has to come'),
    result: z
      .object({
        events: z.int().optional(),
        rows: z.int().optional(),
        differing: z.int().optional().describe('How many rows the events give otherwise than the table had them'),
        differences: z
          .array(z.object({ key: row, table: row.optional(), events: row.optional(), columns: z.array(z.string()) }))
          .optional()
          .describe('Of a comparison: the first of them, as the table has the row and as the events give it'),
        stale: z.enum(['code', 'columns']).optional().describe('The table that is in use again was built otherwise'),
      })
      .optional(),
    error: z.string().optional().describe('Why it failed, and what to do'),
  })
  .meta({ id: 'Replay' });

const projectionsView = z.object({
  items: z.array(
    z.object({
      name: z.string(),
      table: z.string(),
      position: z.int().describe('The position of the last event that it shows'),
      head: z.int().describe('The position of the last event in the store'),
      lag: z.int(),
      behindSeconds: z
        .number()
        .optional()
        .describe('For how long the oldest event that it does not show has been there; absent when that is not known'),
      status: z.literal('stuck').optional().describe('It is behind and stands still'),
      seconds: z.int().optional().describe('For how long it has been seen to stand still'),
      stale: z
        .enum(['code', 'columns'])
        .optional()
        .describe('What has changed since its table was built: rebuild it; absent when nothing has'),
      previous: z
        .object({ table: z.string(), position: z.int() })
        .optional()
        .describe('What a rollback puts back into service'),
      replay: replayView.optional().describe('The last that was asked for'),
    }),
  ),
});

const replayBody = z.strictObject({ action, ...decisionReason });

const pageQuery = z.object({ cursor: cursor(moment, z.uuid()), limit: pageLimit });

const projectionName = z.string().max(63);

const replayHeaders = { Location: { description: 'Path of the replay', schema: { type: 'string' as const } } };

@Controller('admin/projections')
export class ProjectionsController {
  constructor(
    @Inject(PORTS) private readonly ports: ServicePorts,
    @Inject(DATABASE) private readonly pool: pg.Pool,
    @Inject(ProjectionWatch) private readonly watch: ProjectionWatch,
    @Inject(Replays) private readonly replays: Replays,
  ) {}

  @Get()
  @route('Shows how current the read models are', answers(200, 'All of them', projectionsView))
  async listProjections(): Promise<z.infer<typeof projectionsView>> {
    const latest = await this.replays.latest();
    const items = this.watch.projections.map(async (projection) => {
      const { name, table } = projection;
      const { behindSeconds, ...state } = await this.watch.stateOf(projection);
      const previous = await previousTable(this.pool, projection);
      const replay = latest.get(name);
      return {
        name,
        table,
        ...state,
        ...(behindSeconds !== undefined && { behindSeconds }),
        ...(previous && { previous: { ...previous, position: Number(previous.position) } }),
        ...(replay && { replay: viewOf(replay) }),
      };
    });
    return { items: await Promise.all(items) };
  }

  @Get('replays')
  @route(
    'Lists who had which read model rebuilt, compared or rolled back, and what came of it, latest first',
    answers(200, 'A page', pageOf(replayView)),
    refuses(422, 'invalid-request'),
  )
  async listReplays(@Query({ schema: pageQuery }) { cursor, limit }: z.infer<typeof pageQuery>) {
    const after = cursor && { askedAt: new Date(cursor[0]), id: cursor[1] };
    const found = await this.replays.list(limit + 1, after);
    return toPage(found, limit, viewOf, ({ askedAt, id }) => [askedAt.toISOString(), id]);
  }

  @Get('replays/:id')
  @route('Shows how far a replay is', answers(200, 'As it is now', replayView), refuses(404, 'replay-not-found'))
  async showReplay(@Param('id', { schema: z.uuid() }) id: string): Promise<z.infer<typeof replayView>> {
    const replay = await this.replays.find(id);
    if (!replay) throw new Problem(404, 'replay-not-found', 'There is no such replay.');
    return viewOf(replay);
  }

  @Post(':name/replays')
  @route(
    'Has a read model rebuilt from all events, compared with them, or put back as it was before the last rebuild',
    answers(202, 'It is under way', replayView, replayHeaders),
    refuses(404, 'projection-not-found'),
    refuses(409, 'replay-under-way', 'no-previous-table'),
  )
  async askForReplay(
    @Param('name', { schema: projectionName }) name: string,
    @Body({ schema: replayBody }) { action, reason }: z.infer<typeof replayBody>,
    @RequestCaller() { subject: actor }: Caller,
    @RequestCause() { correlationId }: Cause,
  ): Promise<Answer<z.infer<typeof replayView>>> {
    const { ids, clock, log } = this.ports;
    const projection = this.watch.projections.find((each) => each.name === name);
    if (!projection) {
      const names = this.watch.projections.map((each) => each.name).join(', ');
      throw new Problem(404, 'projection-not-found', `There is no such read model here. There are ${names}.`);
    }
    if (action === 'rollback' && !(await previousTable(this.pool, projection))) {
      const detail = `${name} has no previous table: only what a rebuild has replaced can be put back.`;
      throw new Problem(409, 'no-previous-table', detail);
    }
    const asked = { id: ids.next(), projection: name, action, actor, reason, correlationId, askedAt: clock.now() };
    if (!(await this.replays.ask(asked))) throw await this.underWay(name);
    log.warn(asked, 'A person asked for a replay.');
    const replay = (await this.replays.find(asked.id))!;
    return new Answer(viewOf(replay), { location: `/admin/projections/replays/${asked.id}` });
  }

  private async underWay(name: string): Promise<Problem> {
    const replay = (await this.replays.latest()).get(name);
    const by = replay ? `: ${replay.actor} asked for a ${replay.action} at ${replay.askedAt.toISOString()}` : '';
    return new Problem(409, 'replay-under-way', `A replay of ${name} is under way${by}. Wait until it has ended.`, {
      extras: replay ? { replay: viewOf(replay) } : {},
    });
  }
}

function viewOf(replay: Replay): z.infer<typeof replayView> {
  const { askedAt, startedAt, switchedAt, endedAt, correlationId, progress, result, error, ...asked } = replay;
  return {
    ...asked,
    ...(correlationId !== undefined && { correlationId }),
    askedAt: askedAt.toISOString(),
    ...(startedAt && { startedAt: startedAt.toISOString() }),
    ...(switchedAt && { switchedAt: switchedAt.toISOString() }),
    ...(endedAt && { endedAt: endedAt.toISOString() }),
    status: endedAt ? (error === undefined ? 'done' : 'failed') : startedAt ? 'running' : 'waiting',
    ...(progress && { progress }),
    ...(result && { result: result as z.infer<typeof replayView>['result'] }),
    ...(error !== undefined && { error }),
  };
}
