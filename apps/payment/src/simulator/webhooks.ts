/**
 * The simulated provider's outgoing webhooks: at least once while the process lives, a few at a time, in no particular
 * order. The outbox is in memory and bounded. Most webhooks are hints, so they may be lost in a crash or when their
 * receiver stays away: a service that waits for one asks the provider in the end. What only a webhook says the provider
 * tells again when it starts (simulated-provider.ts).
 */
import http, { type OutgoingHttpHeaders } from 'node:http';
import https from 'node:https';
import { backoffMs, type Clock, type Runtime, within } from '#runtime';
import { sign, SIGNATURE_HEADER, type Webhook } from '../webhook.js';

/** Delivers a webhook to its receiver; fails when the receiver does not accept it. */
export type Deliver = (webhook: Webhook, signal: AbortSignal) => Promise<void>;

/**
 * Delivery over HTTP: a signed POST, accepted when the answer is a 2xx within five seconds. `receiver` returns the URL,
 * and throws while there is none yet. It uses node:http because fetch took a fifth of the payment service's CPU time under
 * load.
 */
export function postWebhook(receiver: () => string, secret: string, clock: Clock): Deliver {
  const clients = {
    http: { request: http.request, agent: new http.Agent({ keepAlive: true }) },
    https: { request: https.request, agent: new https.Agent({ keepAlive: true }) },
  };
  const post = (body: string, headers: OutgoingHttpHeaders, signal: AbortSignal) =>
    new Promise<number>((resolve, reject) => {
      const url = receiver();
      const { request, agent } = clients[url.startsWith('https:') ? 'https' : 'http'];
      const sent = request(url, { method: 'POST', headers, agent, signal }, (response) => {
        response.on('end', () => resolve(response.statusCode!)).on('error', reject);
        response.resume(); // The connection can be reused only when the response has been read to its end.
      });
      sent.on('error', reject).end(body);
    });
  return async (webhook, signal) => {
    const body = JSON.stringify(webhook);
    const signature = sign(body, secret, clock.now());
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      [SIGNATURE_HEADER]: signature,
    };
    const failTooLate = () => {
      throw new Error('The receiver of the webhook did not answer in time.');
    };
    const status = await within(clock, 5_000, (limit) => post(body, headers, limit), failTooLate, signal);
    if (status < 200 || status > 299) throw new Error(`The receiver of the webhook answered ${status}.`);
  };
}

const MAX_WAITING = 1_000;
const MAX_AT_ONCE = 4;
/** With pauses of up to ten seconds some quarter of an hour: longer than a receiver takes to start again, or to get a missing secret. */
const MAX_ATTEMPTS = 100;

export class WebhookOutbox {
  private readonly stopped = new AbortController();
  private readonly queue: { readonly webhook: Webhook; attempt: number }[] = [];
  /** How many are queued, in delivery or in a pause between two attempts. */
  private waiting = 0;
  private dropped = 0;
  private readonly workers = new Set<Promise<void>>();

  constructor(
    private readonly deliver: Deliver,
    private readonly runtime: Runtime,
  ) {}

  /** Never blocks and never fails. When too many are waiting already, the webhook is dropped. */
  send(webhook: Webhook): void {
    if (this.stopped.signal.aborted) return;
    if (this.waiting >= MAX_WAITING) {
      if (this.dropped++ % MAX_WAITING === 0) {
        this.runtime.log.warn({ dropped: this.dropped }, 'Webhooks are dropped: too many wait for their receiver.');
      }
      return;
    }
    this.waiting++;
    this.enqueue({ webhook, attempt: 1 });
  }

  /** Gives up all webhooks that are still waiting. */
  async close(): Promise<void> {
    this.stopped.abort();
    this.queue.length = 0;
    await Promise.all(this.workers);
  }

  private enqueue(job: { readonly webhook: Webhook; attempt: number }): void {
    this.queue.push(job);
    if (this.workers.size >= MAX_AT_ONCE) return;
    const worker = this.work().finally(() => this.workers.delete(worker));
    this.workers.add(worker);
  }

  private async work(): Promise<void> {
    for (let job = this.queue.shift(); job; job = this.queue.shift()) {
      try {
        await this.deliver(job.webhook, this.stopped.signal);
        this.waiting--;
      } catch (error) {
        if (!this.stopped.signal.aborted) this.retry(job, error);
      }
    }
  }

  private retry(job: { readonly webhook: Webhook; attempt: number }, error: unknown): void {
    const { clock, random, log } = this.runtime;
    if (job.attempt === MAX_ATTEMPTS) {
      this.waiting--;
      log.warn({ webhook: job.webhook.id, err: error }, 'A webhook was given up: its receiver never accepted it.');
      return;
    }
    void clock.sleep(backoffMs(job.attempt, random, 200, 10_000), this.stopped.signal).then(() => {
      if (!this.stopped.signal.aborted) this.enqueue({ ...job, attempt: job.attempt + 1 });
    });
  }
}
