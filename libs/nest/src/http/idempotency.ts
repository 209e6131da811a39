/**
 * The Idempotency-Key of a request that creates something: sent again with the same key it creates nothing new and gets
 * the same answer. Aggregates decide that, from an id derived from the key; this file only reads the header.
 *
 * Source: draft-ietf-httpapi-idempotency-key-header. The draft's form is a quoted string; a bare key, which most
 * clients send, means the same.
 */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { parse, v5 } from 'uuid';
import { Problem } from './problem.js';
import { onRoute, refuses, takesHeader } from './route.js';

const MAX_LENGTH = 255;

/** An sf-string (RFC 8941): printable ASCII in quotes, with \" and \\ as escapes. */
const QUOTED = /^"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;

/** Visible ASCII without separators; a comma here means two headers. */
const BARE = /^[^\x00-\x20"\\,;\x7f-\uffff]+$/;

/** Both, for the document: a header is ASCII. */
const PATTERN = '^("([ !#-\\[\\]-~]|\\\\["\\\\])+"|[!#-+\\--:<-\\[\\]-~]+)$';

/** @throws Problem 400 `idempotency-key-missing` or `idempotency-key-invalid` */
export function parseIdempotencyKey(header: string | string[] | undefined): string {
  if (header === undefined) {
    throw new Problem(
      400,
      'idempotency-key-missing',
      'Send an Idempotency-Key: any string that is new, such as a UUID.',
    );
  }
  const text = String(header);
  const quoted = QUOTED.exec(text)?.[1]?.replace(/\\(["\\])/g, '$1');
  const key = quoted ?? (BARE.test(text) ? text : '');
  if (key.length === 0 || key.length > MAX_LENGTH) {
    throw new Problem(
      400,
      'idempotency-key-invalid',
      `An Idempotency-Key is one string of 1 to ${MAX_LENGTH} printable ASCII characters.`,
    );
  }
  return key;
}

/** `@IdempotencyKey() key: string`: the request's key; without a valid one the request is refused with 400. For routes with a JSON body. */
export const IdempotencyKey = createParamDecorator(
  (_data: unknown, context: ExecutionContext): string =>
    parseIdempotencyKey(context.switchToHttp().getRequest<FastifyRequest>().headers['idempotency-key']),
  [
    onRoute(
      takesHeader('Idempotency-Key', {
        required: true,
        description: 'The same key with the same body gives the same answer and creates nothing new.',
        schema: { type: 'string', minLength: 1, maxLength: MAX_LENGTH, pattern: PATTERN },
      }),
      refuses(400, 'idempotency-key-missing', 'idempotency-key-invalid'),
    ),
  ],
);

/**
 * Makes ids of a kind of thing: a UUID (version 5, RFC 9562) that is determined by its parts. `namespace` is a UUID that
 * stands for the kind. The parts are hashed as a JSON array: ('a', 'bc') and ('ab', 'c') are different things.
 */
export function nameBasedIds(namespace: string): (...parts: readonly string[]) => string {
  const bytes = parse(namespace);
  return (...parts) => v5(Buffer.from(JSON.stringify(parts)), bytes);
}
