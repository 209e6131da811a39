/** How far read models are behind the events: for operators, for probes and for metrics. */
import type { AnyProjection, Staleness } from '#projections';
import type { Health } from './health.js';
import type { Metrics } from './metrics.js';
import type { ServicePorts } from '#service';

export interface Progress {
  /** The position of the last event that the read model shows. */
  readonly position: number;
  /** The position of the last event in the store. */
  readonly head: number;
  readonly lag: number;
}

export async function progressOf(
  projection: AnyProjection,
  { store, tables }: Pick<ServicePorts, 'store' | 'tables'>,
): Promise<Progress> {
  // In this order: a checkpoint is never ahead of a head that was read after it.
  const position = await tables.checkpoint(projection);
  const head = await store.head();
  return { position: Number(position), head: Number(head), lag: Number(head - position) };
}

/** What has changed since the table of a read model was built: its code or its columns. Empty when neither has. */
export async function staleness(
  projection: AnyProjection,
  { tables }: Pick<ServicePorts, 'tables'>,
): Promise<{ readonly stale?: Staleness }> {
  const stale = await tables.staleness(projection);
  return stale === undefined ? {} : { stale };
}

/**
 * Shows the progress of each projection in `/health/ready` and `/metrics`. One whose code or columns have changed since
 * its table was built is named in health, and now in the log: it shows what the old code made of older events, so it is
 * as good as before and the service stays ready.
 */
export function watchProjections(
  projections: readonly AnyProjection[],
  ports: ServicePorts,
  health: Health,
  metrics: Metrics,
): void {
  for (const each of projections) {
    health.add(`projection:${each.name}`, async () => ({
      ...(await progressOf(each, ports)),
      ...(await staleness(each, ports)),
    }));
    void warnOf(each, ports);
  }
  metrics.gauge('larder_projection_lag', 'Positions between the last event and the read model.', ['projection'], () =>
    Promise.all(
      projections.map(async (each) => ({
        labels: { projection: each.name },
        value: (await progressOf(each, ports)).lag,
      })),
    ),
  );
}

async function warnOf(projection: AnyProjection, ports: Pick<ServicePorts, 'tables' | 'log'>): Promise<void> {
  const { name, table } = projection;
  // Health reports a database that does not answer, and later the staleness as well.
  const { stale } = await staleness(projection, ports).catch(() => ({ stale: undefined }));
  if (stale === undefined) return;
  ports.log.warn(
    { projection: name, stale },
    `${table} was built ${stale === 'code' ? 'by other code' : 'for other columns'} than today's: ` +
      `\`npm run replay -- ${name}\` rebuilds it.`,
  );
}
