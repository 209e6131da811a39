/**
 * What payment asked the provider about an order, and what it was answered, as the payment's events show it: what it asks for
 * is an event before it is asked, and an answer is one as soon as it is there. How often it asked until then they do not show.
 */
import { idOf, type RecordedEvent } from '#event-store';
import type { Exchange } from '#service';
import type { PaymentEvent } from './domain/payment.js';

type Type = PaymentEvent['type'];

/** By the event that asks, what for. */
const ASKS: Partial<Record<Type, string>> = {
  PaymentRequested: 'authorize',
  PaymentCaptureRequested: 'capture',
  PaymentReturnRequested: 'give back',
  PaymentHeldTwice: 'release the second hold',
};

/** By what the provider tells, what that is an answer to; if that was not asked for, it tells so by itself. */
const ANSWERS: Partial<Record<Type, string>> = {
  PaymentAuthorized: 'authorize',
  PaymentDeclined: 'authorize',
  PaymentCaptured: 'capture',
  PaymentMiscaptured: 'capture',
  PaymentCaptureRefused: 'capture',
  PaymentVoided: 'give back',
  PaymentRefunded: 'give back',
  PaymentRefundedInPart: 'give back',
  PaymentRefundRefused: 'give back',
  PaymentHoldReleased: 'release the second hold',
  PaymentHeldTwice: 'nothing',
  PaymentMovedByProvider: 'nothing',
};

type Open = { -readonly [Name in keyof Exchange]: Exchange[Name] };

export function exchangesOf(events: readonly RecordedEvent<PaymentEvent>[]): Exchange[] {
  const exchanges: Open[] = [];
  const open = new Map<string, Open>();
  for (const [i, event] of events.entries()) {
    const { id, type } = event;
    const answers = ANSWERS[type];
    if (answers !== undefined) {
      const asked = open.get(answers);
      const answer = { answer: id, by: isAnswerToCall(event) ? ('call' as const) : ('webhook' as const) };
      if (asked) Object.assign(asked, answer);
      else if (!isToldWith(event, events[i - 1]) && !isToldWith(event, events[i + 1]))
        exchanges.push({ what: 'tell', ...answer });
      open.delete(answers);
    }
    const what = ASKS[type];
    if (what !== undefined) {
      // Whoever asks for the money back awaits nothing else of the payment's own; an answer to that may come all the same.
      if (what === 'give back')
        for (const each of [open.get('authorize'), open.get('capture')]) if (each) each.dropped = true;
      const exchange = { what, asked: id };
      exchanges.push(exchange);
      open.set(what, exchange);
    }
  }
  return exchanges;
}

/** The cashier names the step that it made a call for (cashier.ts), and a webhook is named by the provider. */
function isAnswerToCall({ stream, metadata }: RecordedEvent): boolean {
  return metadata.causationId.startsWith(`${idOf(stream)}:`);
}

/** Whether one answer gave both events: that money was returned also says that it had been captured. */
function isToldWith({ metadata }: RecordedEvent, other: RecordedEvent<PaymentEvent> | undefined): boolean {
  return other !== undefined && other.type in ANSWERS && other.metadata.causationId === metadata.causationId;
}
