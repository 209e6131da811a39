/** Checks that a service's checkpoints are positions of its own event store. */
import { ServerRefusal } from '#runtime';
import type { ServiceDefinition } from '../definition.js';
import type { ServicePorts } from '../ports.js';

/**
 * A loop that resumes beyond the end of the store would skip the events that are yet to come, and say nothing.
 * @throws ServerRefusal that names the checkpoint, when one is beyond the end of the event store
 */
export async function assertCheckpoints(
  { name, projections }: Pick<ServiceDefinition, 'name' | 'projections'>,
  { store, tables, checkpoints }: Pick<ServicePorts, 'store' | 'tables' | 'checkpoints'>,
): Promise<void> {
  const relay = ['of the relay', await checkpoints.load(name)] as const;
  const ofProjection = projections.map(
    async (projection) => [`of ${projection.name}`, await tables.checkpoint(projection)] as const,
  );
  const all = [relay, ...(await Promise.all(ofProjection))];
  const head = await store.head(); // After the checkpoints, which other instances move on.
  const ahead = all.find(([, position]) => position > head);
  if (!ahead) return;
  const [whose, position] = ahead;
  throw new ServerRefusal(
    `The checkpoint ${whose}, ${position}, is beyond the end of the event store, ${head}: this database was filled from ` +
      'another store, or is newer than it. Correct EVENT_STORE_URL or DATABASE_URL, or follow "Restore" in docs/operations.md.',
  );
}
