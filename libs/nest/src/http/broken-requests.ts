/**
 * Requests that Node refuses before Fastify has them, or while their body arrives: what is no HTTP, headers that are too
 * large, methods that Node does not know, and whatever does not arrive in time. They are answered with problems, too, once
 * the requests before them on the connection are answered, and the connection ends.
 *
 *   headers incomplete after 5 s, the request after 15 s   408
 *   headers above 16 kB                                    431
 *   an unknown method, CONNECT                             501
 *   anything else that is not HTTP/1.1                     400
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { IncomingHttpHeaders } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Ids, Log } from '#runtime';
import { causeOf } from './correlation.js';
import { PROBLEM_TYPE, Problem, problemDocument } from './problem.js';

/** How long a request may take to arrive, in milliseconds. */
export interface ArrivalLimits {
  /** Its headers. Less than `requestMs`: Node would swap the two. */
  readonly headersMs: number;
  /** All of it. */
  readonly requestMs: number;
  /** How often the connections are looked at. */
  readonly checkEveryMs: number;
}

/** A slower sender is not a customer. */
export const ARRIVAL_LIMITS: ArrivalLimits = { headersMs: 5_000, requestMs: 15_000, checkEveryMs: 1_000 };

/** What Node knows of a request that it refuses. */
type ClientError = Error & { readonly code?: string; readonly rawPacket?: unknown; readonly bytesParsed?: number };

export class BrokenRequests {
  /** The reply to the latest request of each connection. */
  private readonly replies = new WeakMap<Duplex, FastifyReply>();
  private readonly ended = new WeakSet<Duplex>();

  constructor(
    private readonly ids: Ids,
    private readonly log: Log,
  ) {}

  /** Begins to watch what arrives. `answer` is given to Fastify as its `clientErrorHandler`. */
  watch(http: FastifyInstance): void {
    http.addHook('onRequest', (request, reply, done) => {
      this.replies.set(request.raw.socket, reply);
      const { httpVersion, rawHeaders } = request.raw;
      const hosts = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
      if (httpVersion === '1.0' || hosts.length === 1) return done();
      // Node would answer the lack of it by itself, without a problem, and take the first of several.
      done(new Problem(400, 'bad-request', 'Send one Host header.', { headers: { connection: 'close' } }));
    });
    const { server } = http;
    server.on('connect', ({ method, url, headers }, socket) => {
      this.end(socket, unknownMethod(method!), { path: '/', headers, method: method!, url });
    });
    // RFC 9110 allows to ignore an expectation, which Node would refuse without a problem.
    server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  }

  answer(error: ClientError, socket: Duplex): void {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
    const seen = lastRead(error);
    const problem = problemFor(error, seen);
    const reply = this.replies.get(socket);
    if (reply && !reply.request.raw.complete) {
      // The body of a request that Fastify already has.
      if (reply.sent) socket.destroy();
      else reply.header('connection', 'close').send(problem);
    } else if (reply && !reply.raw.writableFinished) {
      reply.raw.once('close', () => this.end(socket, problem, partsOf(seen)));
    } else {
      this.end(socket, problem, partsOf(seen));
    }
  }

  /** Writes the problem by hand: there is no request that could be replied to. */
  private end(socket: Duplex, problem: Problem, { path, headers, ...parts }: Parts): void {
    if (this.ended.has(socket) || !socket.writable) return;
    this.ended.add(socket);
    const { status, code, message } = problem;
    const { correlationId } = causeOf(headers, this.ids.next());
    this.log.info({ correlationId, path, status, code, ...parts }, message);
    const body = JSON.stringify(problemDocument(problem, path, correlationId));
    const head = {
      'Content-Type': PROBLEM_TYPE,
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      'X-Correlation-Id': correlationId,
      Connection: 'close',
    };
    const lines = Object.entries(head).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy());
  }
}

/** The bytes that Node read last, from where the request begins that it refuses if that is among them. */
function lastRead({ rawPacket, bytesParsed = 0 }: ClientError): string {
  if (!Buffer.isBuffer(rawPacket)) return '';
  const text = rawPacket.toString('latin1');
  const before = text.lastIndexOf('\r\n\r\n', Math.min(bytesParsed - 1, text.length - 5));
  return before < 0 ? text : text.slice(before + 4);
}

function problemFor({ code }: ClientError, seen: string): Problem {
  const [, method] = /^([!#$%&'*+.^_`|~\w-]{1,20}) \S+ HTTP\/1\.[01]\r?\n/.exec(seen) ?? [];
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new Problem(408, 'request-timeout', 'The request did not arrive in time. Send it again.');
  }
  if (code === 'HPE_HEADER_OVERFLOW') return new Problem(431, 'headers-too-large', 'The headers are too large.');
  if (code === 'HPE_INVALID_METHOD' && method !== undefined) return unknownMethod(method);
  return new Problem(400, 'bad-request', 'This is not a request of HTTP/1.1.');
}

function unknownMethod(method: string): Problem {
  return new Problem(501, 'unknown-method', `No path takes ${method}.`);
}

interface Parts {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly method?: string;
  readonly url?: string | undefined;
}

/** What can be told of a request from the bytes that were read last. */
function partsOf(seen: string): Parts {
  const [, path = '/'] = /^[^\s/]+ (\/[\x21-\x3e\x40-\x7e]{0,200})/.exec(seen) ?? [];
  const header = (name: string) => new RegExp(`^${name}:[ \\t]*(\\S+)[ \\t]*\\r?$`, 'im').exec(seen)?.[1];
  const headers = { 'x-correlation-id': header('x-correlation-id'), traceparent: header('traceparent') };
  return { path, headers };
}
