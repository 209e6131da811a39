/**
 * The running balance, which takes all books and so belongs to no service: whoever started this process tells it, where that is
 * `npm start` (scripts/lib/balance.ts).
 */
import type { FastifyInstance } from 'fastify';
import { Problem } from '#nest';
import type { Balance } from '../api.js';

/** What was told last; undefined where nobody tells. */
export type LatestBalance = () => Balance | undefined;

/** Listens to the process that started this one. */
export function hearBalance(channel: Pick<NodeJS.Process, 'on'> = process): LatestBalance {
  let latest: Balance | undefined;
  channel.on('message', (message: { readonly balance?: Balance }) => (latest = message.balance ?? latest));
  return () => latest;
}

export function serveBalance(http: FastifyInstance, latest: LatestBalance): void {
  http.get('/admin/balance', () => {
    const balance = latest();
    if (balance) return balance;
    throw new Problem(
      404,
      'not-found',
      'Nobody keeps a balance here: `npm start` does, a moment after the shop is open.',
    );
  });
}
