/**
 * A service's refusals. Each says in `code` what is refused, for programs, and by its class what kind of refusal it is:
 * the domain's words, from which the HTTP layer takes the status.
 */

/** The caller's mistake: what was asked for makes no sense here, and never will. HTTP 422. */
export class DomainError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'DomainError';
  }
}

/** What was asked for does not fit to how things stand now. HTTP 409. */
export class Conflict extends DomainError {}

/** What was asked about does not exist. HTTP 404. */
export class NotFound extends DomainError {}
