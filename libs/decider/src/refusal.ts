/**
 * The refusals of a service, in three kinds. `code` tells a program what is refused, `message` tells a person. The class
 * is the kind of refusal, in the domain's terms; the HTTP layer derives the status from it.
 */

/** The caller's mistake: the request cannot be carried out as it stands. HTTP 422. */
export class DomainError extends Error {
  constructor(
    readonly code: string,
    message: string,
    /** What a program needs to go on: further members of the problem. */
    readonly details: object = {},
  ) {
    super(message);
    this.name = 'DomainError';
  }
}

/** The request does not fit the present state. HTTP 409. */
export class Conflict extends DomainError {}

/** The subject of the request does not exist. HTTP 404. */
export class NotFound extends DomainError {}
