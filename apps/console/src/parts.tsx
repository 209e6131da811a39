/** What every page is made of. */
import type { ComponentChildren } from 'preact';
import { LarderProblem } from '#client';
import { dayOf, secondOf, short } from './format.js';
import { type Answers, loginUrl, NoAnswer, silentSince } from './gateway.js';
import type { Loaded } from './live.js';

/** An error in words, with the id by which the logs have it. `shownMs` is of when what stands below it is. */
export function Trouble({
  error,
  retry,
  shownMs,
}: {
  error: unknown;
  retry?: (() => void) | undefined;
  shownMs?: number | undefined;
}) {
  const { title, detail, correlationId } = describe(error);
  return (
    <div class="trouble" role="alert">
      <strong>{title}</strong>
      <p>{detail}</p>
      {correlationId !== undefined && (
        <p class="small">
          Correlation id <code>{correlationId}</code>
        </p>
      )}
      {shownMs !== undefined && <p>What stands below is as of {secondOf(shownMs)}.</p>}
      {retry && (
        <button type="button" class="quiet" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

function describe(error: unknown): { title: string; detail: string; correlationId?: string | undefined } {
  if (error instanceof LarderProblem) {
    const { problem, message } = error;
    return { title: problem?.title ?? 'No answer of the shop', detail: message, correlationId: problem?.correlationId };
  }
  if (error instanceof NoAnswer) return { title: 'No answer', detail: error.message };
  return { title: 'Something went wrong here', detail: error instanceof Error ? error.message : String(error) };
}

/** By whom something was decided, and when: the last two cells of a row. */
export function ByAndWhen({ actor, at }: { actor: string; at: string }) {
  return (
    <>
      <td>
        <code title={actor}>{short(actor)}</code>
      </td>
      <td>
        <time dateTime={at}>{dayOf(at)}</time>
      </td>
    </>
  );
}

/**
 * What was loaded, or why not: the last answer stays while a newer one fails, and says of when it is. While the gateway is
 * away, that stands above the page.
 */
export function Show<T>({ of, children }: { of: Loaded<T>; children: (value: T) => ComponentChildren }) {
  const value = of.value.value;
  const problem = of.problem.value;
  const isThere = value !== undefined;
  const isSaid = isThere && problem instanceof NoAnswer && silentSince.value !== undefined;
  return (
    <>
      {problem !== undefined && !isSaid && (
        <Trouble error={problem} retry={of.load} shownMs={isThere ? of.readMs : undefined} />
      )}
      {isThere ? children(value) : problem === undefined && <p class="muted">Loading …</p>}
    </>
  );
}

/** Names the services that are not on the page, and says why. */
export function Away({ of: { away } }: { of: Answers<unknown> }) {
  return away.map(({ service, error }) => {
    const { detail, correlationId } = describe(error);
    return (
      <p key={service} class="note" role="status">
        Without {service}: {detail}{' '}
        {correlationId !== undefined && (
          <span class="small">
            Correlation id <code>{correlationId}</code>
          </span>
        )}
      </p>
    );
  });
}

/** Why somebody decides something. */
export function Reason({ value, onInput }: { value: string; onInput: (reason: string) => void }) {
  return (
    <label>
      Reason
      <input required maxLength={2_000} value={value} onInput={({ currentTarget }) => onInput(currentTarget.value)} />
    </label>
  );
}

/** Why there is nothing. */
export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function Status({ status }: { status: string }) {
  return (
    <span class="status" data-status={status}>
      {status.replaceAll('-', ' ')}
    </span>
  );
}

export function LogIn() {
  return (
    <section class="card narrow">
      <h1>Larder</h1>
      <p>A shop of three services. Log in to order, to watch an order through all of them, or to decide what waits.</p>
      <a class="button" href={loginUrl()}>
        Log in
      </a>
    </section>
  );
}
