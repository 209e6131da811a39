/** The gateway as a whole: when it says that it is ready, and what it shows of the services. */
import { afterEach, expect, test } from 'vitest';
import { LittleService } from '#test/little-service';
import { Health, Metrics, type RunningApplication } from '#nest';
import { SystemClock } from '#runtime';
import { showServices, startGateway } from './gateway.js';

const NOWHERE = 'http://127.0.0.1:9';

let order: LittleService;
let gateway: RunningApplication;
afterEach(async () => {
  await gateway?.stop();
  await order.close();
});

const readiness = async () => {
  const answer = await fetch(`${gateway.url}/health/ready`);
  return [answer.status, await answer.json()];
};

test('it is ready as long as it can forward anything, and says which service it cannot reach', async () => {
  order = await LittleService.open();
  gateway = await startGateway({
    env: {
      PORT: '0',
      AUTH_ISSUER: NOWHERE,
      LOG_LEVEL: 'silent',
      ORDER_URL: order.url,
      INVENTORY_URL: NOWHERE,
      PAYMENT_URL: NOWHERE,
    },
  });
  const away = { status: 'down', ready: 0 };
  expect(await readiness()).toEqual([
    200,
    {
      status: 'degraded',
      checks: { instances: { status: 'up' }, order: { status: 'up', ready: 1 }, inventory: away, payment: away },
    },
  ]);
  await order.close();
  await expect
    .poll(readiness, { timeout: 5_000 })
    .toEqual([
      503,
      { status: 'not-ready', checks: { instances: { status: 'down' }, order: away, inventory: away, payment: away } },
    ]);
  await order.reopen();
  await expect.poll(readiness, { timeout: 5_000 }).toMatchObject([200, { status: 'degraded' }]);
}, 15_000);

test('metrics say how many instances are ready, and whose circuit is open', async () => {
  const metrics = new Metrics('gateway');
  const health = new Health(new SystemClock());
  const instances = {
    ready: (service: string) => (service === 'order' ? [{}, {}] : []),
    canReach: () => true,
  } as never;
  showServices(instances, { isOpen: (service: string) => service === 'payment' } as never, health, metrics);
  const shown = await metrics.registry.metrics();
  expect(shown).toContain('larder_instances_ready{target="order",service="gateway"} 2');
  expect(shown).toContain('larder_instances_ready{target="payment",service="gateway"} 0');
  expect(shown).toContain('larder_service_circuit{target="order",service="gateway"} 0');
  expect(shown).toContain('larder_service_circuit{target="payment",service="gateway"} 1');
  expect((await health.ready()).checks).toMatchObject({ payment: { status: 'down', circuit: 'open' } });
});
