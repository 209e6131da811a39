/** What moves in a service, and how far its loops are behind: in figures, as of now. */
import { z } from 'zod';

const behind = {
  position: z.string().describe('Decimal digits'),
  lag: z.int().describe('Positions to the head'),
  seconds: z
    .number()
    .optional()
    .describe('For how long the oldest event has waited that it has not come to; absent when that is not known'),
};

/** 'half-open': one call finds out whether the other side is back. */
export const circuitState = z.enum(['closed', 'half-open', 'open']);

export type CircuitState = z.infer<typeof circuitState>;

export const orderFlow = z
  .object({
    seconds: z.int().describe('What `placed` and `settled` are counted over: ten, or fewer soon after a start'),
    placed: z.int(),
    settled: z.int(),
    toSettle: z
      .object({
        seconds: z.int().describe('What this is measured over: a minute, or less soon after a start'),
        orders: z.int().describe('Those that were settled meanwhile, of which the time is known'),
        others: z.int().describe('Those of which it is not: the instance did not see them placed'),
        medianMs: z.int().optional().describe('Absent when there is none'),
        p99Ms: z.int().optional(),
      })
      .describe('From the time at which an order was placed to that at which nothing more will happen to it'),
  })
  .meta({ id: 'OrderFlow' });

export type OrderFlow = z.infer<typeof orderFlow>;

export const serviceFlow = z
  .object({
    service: z.string(),
    instance: z.string().describe('Which tells this, by its machine and port'),
    at: z.iso.datetime(),
    head: z.string().optional().describe('The position of the last event in the store, in decimal digits'),
    relay: z.object(behind).optional(),
    consumer: z.object({ unread: z.int().describe('Messages that wait, as far as the bus counts them') }).optional(),
    readModels: z.array(z.object({ name: z.string(), ...behind })).optional(),
    leases: z
      .array(
        z.object({
          name: z.string(),
          holder: z.string().optional().describe('The instance that has it; absent when nobody does at this moment'),
        }),
      )
      .optional(),
    circuits: z.record(z.string(), circuitState).describe('Of this instance, by what it calls'),
    orders: orderFlow.optional().describe('Of all instances, as this one sees them; in the order service'),
  })
  .meta({ id: 'ServiceFlow' })
  .describe('A figure that could not be read in time is left out');

export type ServiceFlow = z.infer<typeof serviceFlow>;
