/** Where an operator makes things go wrong in a service, to see it heal: see troubles.ts of #service. Only where TROUBLE is true. */
import { Body, Controller, Get, Inject, Param, Put } from '@nestjs/common';
import { z } from 'zod';
import type { Cause } from '#event-store';
import { type Caller, type ServicePorts, Troubles, type TroubleState } from '#service';
import { RequestCaller } from '../access/guard.js';
import { RequestCause } from '../http/correlation.js';
import { Problem } from '../http/problem.js';
import { answers, refuses, route } from '../http/route.js';
import { PORTS } from '../tokens.js';

const troubleView = z
  .object({
    name: z.string(),
    does: z.string().describe('What it does'),
    see: z.string().describe('What there is to see meanwhile, and afterwards'),
    seconds: z.int().describe('After how long it ends by itself'),
    once: z.boolean().describe('Whether it is over as soon as it has struck'),
    on: z.boolean(),
    until: z.iso.datetime().optional().describe('When it ends by itself; absent while it is off'),
    actor: z.string().optional().describe('Who switched it on last'),
    struck: z.int().describe('How often it has struck since then'),
  })
  .meta({ id: 'Trouble' });

const troublesView = z.object({ items: z.array(troubleView) });

const troubleBody = z.strictObject({ on: z.boolean() });

const troubleName = z.string().max(63);

@Controller('admin/troubles')
export class TroublesController {
  constructor(
    @Inject(PORTS) private readonly ports: ServicePorts,
    @Inject(Troubles) private readonly troubles: Troubles,
  ) {}

  @Get()
  @route('Lists what can be made to go wrong, and what is on', answers(200, 'All of it', troublesView))
  listTroubles(): z.infer<typeof troublesView> {
    return { items: this.troubles.states().map(viewOf) };
  }

  @Put(':name')
  @route(
    'Switches a trouble on, for its seconds, or off',
    answers(200, 'As it is now', troubleView),
    refuses(404, 'trouble-not-found'),
  )
  switchTrouble(
    @Param('name', { schema: troubleName }) name: string,
    @Body({ schema: troubleBody }) { on }: z.infer<typeof troubleBody>,
    @RequestCaller() { subject: actor }: Caller,
    @RequestCause() { correlationId }: Cause,
  ): z.infer<typeof troubleView> {
    const { troubles } = this;
    if (!troubles.has(name)) {
      const detail = `There is no such trouble here. There are ${troubles.names.join(', ')}.`;
      throw new Problem(404, 'trouble-not-found', detail);
    }
    if (on) troubles.switchOn(name, actor);
    else troubles.switchOff(name);
    this.ports.log.warn({ trouble: name, on, actor, correlationId }, 'A person switched a trouble.');
    return viewOf(troubles.states().find((each) => each.name === name)!);
  }
}

function viewOf({ once = false, until, ...trouble }: TroubleState): z.infer<typeof troubleView> {
  return { ...trouble, once, on: until !== undefined, ...(until && { until: until.toISOString() }) };
}
