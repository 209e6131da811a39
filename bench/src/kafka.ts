/** A broker of the run's own, on the machine's cores and the disk of Postgres. Its data goes with it. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KafkaBroker, missingForKafka, startKafka } from '../../scripts/lib/kafka-broker.js';
import type { Bench } from './row.js';
import { atTheRoot } from './shop.js';

export async function openBenchKafka(bench: Bench): Promise<KafkaBroker> {
  atTheRoot();
  const missing = missingForKafka();
  if (missing) throw new Error(`Kafka cannot be started here: ${missing}.`);
  const broker = await startKafka({ folder: mkdtempSync(join(tmpdir(), 'larder-bench-kafka-')), disposable: true });
  bench.signal.addEventListener('abort', () => void broker.stop());
  if (bench.signal.aborted) await broker.stop();
  return broker;
}
