import { expect, test } from 'vitest';
import { ServerUnavailable } from '#runtime';
import { createLog, NestLog } from './logger.js';

async function logOf(LOG_LEVEL: 'info' | 'debug') {
  const lines: any[] = [];
  const log = await createLog('order', { LOG_LEVEL }, { write: (text) => void lines.push(JSON.parse(text)) });
  return { log, lines };
}

test('a logged error keeps its stack and its code, and no password', async () => {
  const { log, lines } = await logOf('info');
  const cause = new Error('connect postgresql://larder:s3cret@db/order');
  log.error({ err: Object.assign(new Error('query failed', { cause }), { code: 'X1' }) }, 'A request failed.');
  expect(lines[0]).toMatchObject({ name: 'order', level: 50, msg: 'A request failed.', err: { code: 'X1' } });
  expect(lines[0].err.message).toContain('query failed');
  expect(lines[0].err.stack).toContain('logger.spec.ts');
  expect(JSON.stringify(lines)).not.toContain('s3cret');
});

test('an error of a server that is away is one line, because it is logged at every attempt', async () => {
  const { log, lines } = await logOf('info');
  const refused = Object.assign(new Error('connect ECONNREFUSED kafka://a:s3cret@h'), { code: 'ECONNREFUSED' });
  log.warn({ err: new ServerUnavailable('The broker does not answer.', { cause: refused }) }, 'Once more.');
  const everywhere = Object.assign(new AggregateError([refused, refused], ''), { code: 'ECONNREFUSED' });
  log.warn({ err: everywhere }, 'And again.');
  expect(lines.map(({ err }) => err)).toEqual([
    { type: 'ServerUnavailable', message: 'The broker does not answer.: connect ECONNREFUSED kafka://a:***@h' },
    { type: 'AggregateError', code: 'ECONNREFUSED', message: '' },
  ]);
});

test("Nest's chatter is for those who debug, its errors are for all", async () => {
  const { log, lines } = await logOf('info');
  const nest = new NestLog(log);
  nest.log('Mapped {/orders, POST} route', 'RouterExplorer');
  nest.error(new Error('It broke.'), 'ExceptionsHandler');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({
    level: 50,
    msg: 'It broke.',
    context: 'ExceptionsHandler',
    err: { message: 'It broke.' },
  });
});
