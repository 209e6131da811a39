/**
 * Calls to the services. What stands between a caller and an instance, for each service apart, so that one that fails or
 * hangs takes nothing from the others, and no caller takes another's place:
 *
 *   call ──▶ places ────────────▶ circuit ────────────▶ a ready instance ──▶ time limit ──▶ answer
 *            1,024, shared out    while it is open,     another, when                      passes as it is,
 *            among callers        one call a second     this one fails                     errors too
 *
 * - Failures are connections that cannot be made or break, and answers that do not come in time. An answer of any status is
 *   the service's word.
 * - As long as no connection could be made, nothing was sent, and each ready instance is tried. What was sent is sent once
 *   more, to another instance, if it is a GET or a HEAD; anything else never: the service may have done it.
 * - A short answer is read whole before it is passed on, which costs a third of the time, and one that breaks off is none. A
 *   long one passes while it comes: then the time limit is that of its beginning, and its place is taken until its end.
 */
import { Agent } from 'undici';
import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import { Problem, tryAgain } from '#nest';
import { type Clock, FairPlaces, LineFull, type Log, UnderWay } from '#runtime';
import { perService, type Service } from '../../../shop.js';
import { Circuit } from './circuit.js';
import { RoundTrip } from './round-trip.js';
import type { Instance, Instances } from './instances.js';

/** How many calls to a service may be under way, and wait; further ones are refused. */
const PLACES = { places: 1_024, inLine: { all: 2_048, each: 512 } };
const CONNECT_WITHIN_MS = 1_000;
/** How long an answer that has begun may be silent. */
const SILENT_MS = 5_000;
/** Less than the minute after which a service ends an idle connection: a write must not meet its end. */
const IDLE_MS = 30_000;

export interface Call {
  readonly service: Service;
  readonly method: string;
  /** At the service, with the query. */
  readonly path: string;
  /** Names and values in turn, without that of the host. */
  readonly headers: readonly string[];
  readonly body?: Buffer | undefined;
  /** Who calls, among whom the places are shared out. */
  readonly caller: string;
  /** How long its answer may take; a long one, to begin. */
  readonly withinMs: number;
  readonly waiter: Waiter;
}

/** Who waits for an answer, until they no longer do: what an AbortSignal is to one listener, which costs each call more. */
export class Waiter {
  isGone = false;
  onGone: (() => void) | undefined;

  leave(): void {
    this.isGone = true;
    this.onGone?.();
  }
}

export interface ServiceAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** A stream has to be read, or destroyed. */
  readonly body: Buffer | Readable;
}

/** How a request to an instance ended; 'not-made' when the circuit was open, the line full or no instance to be reached. */
export type Outcome = 'answered' | 'timeout' | 'unreachable' | 'broken' | 'given-up' | 'not-made';

export interface CallsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly agent: Agent;
  /** Called for every request to an instance, and for every call that leads to none. */
  readonly count: (labels: { readonly target: Service; readonly outcome: Outcome }) => void;
}

/** How often is looked for answers that are late. */
const LOOK_EVERY_MS = 50;

const UNREACHABLE = new Set(['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT']);

class GivenUp extends Error {}
class Late extends Error {}

/** The connections to all instances. `silentMs` is how long an answer that has begun may be silent. */
export function openConnections({ silentMs = SILENT_MS } = {}): Agent {
  return new Agent({
    connect: { timeout: CONNECT_WITHIN_MS },
    headersTimeout: 0, // It depends on the request: see `send`.
    bodyTimeout: silentMs,
    keepAliveMaxTimeout: IDLE_MS,
  });
}

export class Calls {
  private readonly guards: Readonly<Record<Service, { readonly places: FairPlaces; readonly circuit: Circuit }>>;
  /** Those whose answers are awaited, and when they are late. */
  private readonly awaited = new UnderWay<{ readonly roundTrip: RoundTrip; readonly dueMs: number }>();
  private isLooking = false;

  constructor(
    private readonly instances: Instances,
    private readonly options: CallsOptions,
  ) {
    this.guards = perService(() => ({ places: new FairPlaces(PLACES), circuit: new Circuit(options.clock) }));
  }

  isOpen(service: Service): boolean {
    return this.guards[service].circuit.isOpen;
  }

  /** @throws Problem 503 that names the service, when it does not answer */
  call(call: Call): Promise<ServiceAnswer> {
    const { service, caller, waiter } = call;
    return new Promise((answerWith, failWith) => {
      const whole = async () => {
        const answer = await this.guarded(call);
        const { body } = answer;
        answerWith(answer);
        if (!Buffer.isBuffer(body)) await new Promise((resolve) => body.once('close', resolve));
      };
      this.guards[service].places.call(caller, whole).catch((error: unknown) => {
        if (error instanceof LineFull) this.options.count({ target: service, outcome: 'not-made' });
        failWith(waiter.isGone || error instanceof Problem ? error : problemOf(call, error));
      });
    });
  }

  private async guarded(call: Call): Promise<ServiceAnswer> {
    const { service } = call;
    const { circuit } = this.guards[service];
    const { count, log } = this.options;
    if (call.waiter.isGone) throw new GivenUp();
    const first = this.instances.next(service);
    if (!first || !circuit.admits()) {
      count({ target: service, outcome: 'not-made' });
      const detail = first ? `${service} has failed too often, and is not called for a moment.` : unreachable(service);
      throw tryAgain('unavailable', `${detail} Try again.`, { service });
    }
    try {
      const answer = await this.tryInstances(call, first);
      if (circuit.succeeded()) log.info({ service }, `${service} answers again: its circuit is closed.`);
      return answer;
    } catch (error) {
      if (!(error instanceof GivenUp) && circuit.failed()) {
        log.error({ err: error, service }, `${service} fails: its circuit is open. One call a second is made.`);
      }
      throw error;
    }
  }

  private async tryInstances(call: Call, first: Instance): Promise<ServiceAnswer> {
    const { service, method } = call;
    const tried = new Set<Instance>();
    let mayBeSent = isRead(method) ? 2 : 1;
    let failure: unknown;
    for (let instance: Instance | undefined = first; instance; instance = this.instances.next(service, tried)) {
      tried.add(instance);
      try {
        const answer = await this.send(call, instance);
        this.options.count({ target: service, outcome: 'answered' });
        return answer;
      } catch (error) {
        const outcome = outcomeOf(error);
        this.options.count({ target: service, outcome });
        failure = error;
        if (outcome === 'given-up') break;
        if (outcome === 'unreachable') this.instances.takeOut(instance);
        else if (--mayBeSent === 0) break;
      }
    }
    throw failure;
  }

  private async send(call: Call, { url, host }: Instance): Promise<ServiceAnswer> {
    const { method, path, body = null, withinMs, waiter } = call;
    const headers = call.headers.concat('host', host);
    const roundTrip = new RoundTrip();
    waiter.onGone = () => roundTrip.abort(new GivenUp());
    // Nobody gives up what is read, and an error costs its stack.
    const isRead = () => (waiter.onGone = undefined);
    const isAnswered = this.awaited.add({ roundTrip, dueMs: this.options.clock.monotonicMs() + withinMs });
    if (!this.isLooking) void this.endLate();
    try {
      this.options.agent.dispatch({ origin: url, path, method, headers, body }, roundTrip);
      const answer = await roundTrip.answer;
      if (Buffer.isBuffer(answer.body)) isRead();
      else answer.body.once('close', isRead);
      return answer;
    } catch (error) {
      isRead();
      throw error;
    } finally {
      isAnswered();
    }
  }

  /** One loop costs less than a timer for each. */
  private async endLate(): Promise<void> {
    this.isLooking = true;
    while (!this.awaited.isEmpty) {
      await this.options.clock.sleep(LOOK_EVERY_MS);
      const nowMs = this.options.clock.monotonicMs();
      for (const { roundTrip, dueMs } of this.awaited.all()) if (dueMs <= nowMs) roundTrip.abort(new Late());
    }
    this.isLooking = false;
  }
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof GivenUp) return 'given-up';
  if (error instanceof Late) return 'timeout';
  const { syscall, code } = error as { syscall?: string; code?: string };
  // Only where it is certain that nothing was sent.
  const isUnreachable = /^(connect|getaddrinfo)$/.test(syscall ?? '') || UNREACHABLE.has(code ?? '');
  return isUnreachable ? 'unreachable' : 'broken';
}

const unreachable = (service: Service) => `No instance of ${service} can be reached.`;

const isRead = (method: string) => method === 'GET' || method === 'HEAD';

function problemOf({ service, method }: Call, error: unknown): Problem {
  if (error instanceof LineFull) {
    return tryAgain('busy', `Too many calls to ${service} wait already. Try again.`, { service });
  }
  const again = isRead(method) ? '. Try again.' : ', and may have done it. Try again with the same Idempotency-Key.';
  const details: Partial<Record<Outcome, string>> = {
    timeout: `${service} took too long${again}`,
    unreachable: `${unreachable(service)} Try again.`,
  };
  const broken = `${service} broke off before it answered${again}`;
  return tryAgain('unavailable', details[outcomeOf(error)] ?? broken, { service }, error);
}
