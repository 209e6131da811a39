/** How far read models are behind the events: for operators, for probes and for metrics. */
import type { Projection } from '#projections';
import type { Health } from './health.js';
import type { Metrics } from './metrics.js';
import type { ServicePorts } from './ports.js';

export interface Progress {
  /** The position of the last event that the read model shows. */
  readonly position: number;
  /** The position of the last event there is. */
  readonly head: number;
  readonly lag: number;
}

export async function progressOf(
  projection: Projection<any, any>,
  { store, tables }: Pick<ServicePorts, 'store' | 'tables'>,
): Promise<Progress> {
  // In this order: a checkpoint is never ahead of a head that was read after it.
  const position = await tables.checkpoint(projection);
  const head = await store.head();
  return { position: Number(position), head: Number(head), lag: Number(head - position) };
}

/** Shows the progress of each projection in `/health/ready` and `/metrics`. */
export function watchProjections(
  projections: readonly Projection<any, any>[],
  ports: ServicePorts,
  health: Health,
  metrics: Metrics,
): void {
  for (const each of projections) health.add(`projection:${each.name}`, () => progressOf(each, ports));
  metrics.gauge('larder_projection_lag', 'Positions between the last event and the read model.', ['projection'], () =>
    Promise.all(
      projections.map(async (each) => ({
        labels: { projection: each.name },
        value: (await progressOf(each, ports)).lag,
      })),
    ),
  );
}
