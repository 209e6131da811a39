/**
 * JSON is the only type of body, in UTF-8 and not compressed (RFC 8259, section 8.1). A body that is something else is
 * refused for what it is: decoded with replacement characters, as Node does it, two different texts would be the same.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isUtf8 } from 'node:buffer';
import { Problem } from './problem.js';

type Done = (error: Error | null, body?: unknown) => void;

/** The parser for `application/json`. */
export function jsonParser(http: FastifyInstance) {
  const parse = http.getDefaultJsonParser('error', 'error');
  return (request: FastifyRequest, body: Buffer, done: Done) => {
    const problem = problemOf(request, body);
    if (problem) done(problem);
    else void parse(request, body.toString(), done);
  };
}

function problemOf({ headers }: FastifyRequest, body: Buffer): Problem | undefined {
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    const detail = 'The body is compressed. Send it as it is, without Content-Encoding.';
    return new Problem(415, 'unsupported-media-type', detail, { headers: { 'accept-encoding': 'identity' } });
  }
  const charset = /;\s*charset\s*=\s*"?([^\s;"]*)/i.exec(headers['content-type'] ?? '')?.[1] ?? 'utf-8';
  if (charset.toLowerCase() !== 'utf-8') {
    return new Problem(
      415,
      'unsupported-media-type',
      `The body has the charset ${charset}. JSON is in UTF-8: send that.`,
    );
  }
  return isUtf8(body) ? undefined : new Problem(400, 'malformed-json', 'The body is not UTF-8, as JSON is.');
}
