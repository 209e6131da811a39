/**
 * The delivery of a webhook from the provider to the payment service: it may be late, or happen twice, or never. What is
 * under way when the provider dies is lost; world.ts starts it again.
 */
import type { PaymentService } from '../../apps/payment/src/service.js';
import { commandOf, type Webhook } from '../../apps/payment/src/webhook.js';
import { diceFor } from './chance.js';
import { causeOf, type People, type PeoplesWorld } from './people.js';
import type { Surroundings } from './process.js';

interface WebhooksWorld
  extends Pick<Surroundings, 'seed' | 'scheduler' | 'faults' | 'tell'>, Pick<PeoplesWorld, 'running'> {
  readonly people: People;
}

/** What a provider does by itself comes in no other way: it tells that until it is heard. */
const TELL_AGAIN_MS = 500;

export async function deliver(webhook: Webhook, signal: AbortSignal, world: WebhooksWorld): Promise<void> {
  const { status } = webhook.data;
  const isSecond = 'authorizationId' in webhook.data && webhook.data.authorizationId?.endsWith('_second');
  if (!isSecond && status !== 'refunded' && status !== 'voided') return handOver(webhook, signal, world, true);
  while (!signal.aborted) {
    try {
      return await handOver(webhook, signal, world, false);
    } catch {
      await world.scheduler.sleep(TELL_AGAIN_MS);
    }
  }
}

/** Hands a webhook to an instance of the payment service, as the controller does. */
async function handOver(
  webhook: Webhook,
  signal: AbortSignal,
  world: WebhooksWorld,
  mayBeLost: boolean,
): Promise<void> {
  const { orderId } = webhook.data;
  const item = world.faults.webhooks();
  const dice = diceFor(world.seed, 'webhook', webhook.id);
  await world.scheduler.sleep(dice.chance(0.9) ? dice.between(0, 40) : dice.between(0, 2_000));
  if (item?.how === 'lost' && mayBeLost) return;
  if (item?.how === 'late') await world.scheduler.sleep(dice.between(0, item.forMs));
  for (let times = item?.how === 'twice' ? 2 : 1; times > 0 && !signal.aborted; times--) {
    const process = world.running('payment');
    if (!process) throw new Error('Nobody takes the webhook.');
    const command = commandOf(webhook.data);
    if (!command) return;
    world.tell(
      process.name,
      () => `is sent the webhook ${webhook.type} (${orderId})`,
      () => [orderId],
    );
    const answer = await world.people.requestOnce(process, (it) =>
      (it as PaymentService).record(orderId, command, { ...causeOf(orderId), causationId: webhook.id }),
    );
    if (!answer || 'refused' in answer) throw new Error('The webhook was not taken.');
  }
}
