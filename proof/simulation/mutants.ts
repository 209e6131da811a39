/**
 * Bugs that were once made, somewhere: each is planted into the services, alone, to see that the simulation finds it. An
 * edit names a line as it stands, so a mutant that no longer fits its code says so instead of surviving in silence.
 */
import type { Edit } from '../edited-build.js';

export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
}

const edit = (file: string, replace: string, by: string): Edit => ({ file, replace, by });

export const mutants: readonly Mutant[] = [
  {
    name: 'whoever knows its id may cancel an order',
    edits: [edit('apps/order/src/domain/order.ts', '        assertOwn(state, command.owner);\n', '')],
  },
  {
    name: 'whoever knows its id may wait for the end of an order',
    edits: [
      edit('apps/order/src/service.ts', 'assertOwn(requireOrder(current).order, owner);', 'requireOrder(current);'),
    ],
  },
  {
    name: 'whoever knows its id may read the history of an order',
    edits: [edit('apps/order/src/service.ts', 'return isOwn ? history : [];', 'return history;')],
  },
  {
    name: 'how many orders a customer has under way is not looked at',
    edits: [
      edit(
        'apps/order/src/domain/quota.ts',
        'if (underWay.length - freed.length >= limit) throw new QuotaExceeded(underWay);',
        'void limit;',
      ),
    ],
  },
  {
    name: 'an order keeps its place when it is settled',
    edits: [edit('apps/order/src/service.ts', 'return placeAmong(settled);', 'throw error;')],
  },
  {
    name: 'an order that is off leaves its place before it has given back what it holds',
    edits: [
      edit(
        'apps/order/src/service.ts',
        'return rows.filter(({ settled }) => settled)',
        "return rows.filter(({ settled, status }) => settled || status === 'cancelled')",
      ),
    ],
  },
  {
    name: 'an erased key stays',
    edits: [edit('apps/order/src/personal-data.ts', '    await customerKeys.erase(kids);\n', '')],
  },
  {
    name: 'a closed key is used again',
    edits: [
      edit('apps/order/src/domain/customer.ts', "if (key && key.status !== 'open')", 'if (key && orderId === kid)'),
    ],
  },
  {
    name: 'a recipient is written as it came when the key store is away',
    edits: [
      edit(
        'apps/order/src/personal-data.ts',
        'const key = await this.cache.currentOf(of.customerId);',
        "const key = await this.cache.currentOf(of.customerId).catch(() => undefined);\n      if (!key) return place({ recipient: JSON.stringify(recipient), recipientDigest: 'none' }, 'none');",
      ),
    ],
  },
  {
    name: 'a recipient is erased while its order is open',
    edits: [edit('apps/order/src/personal-data.ts', '&& (await this.areSettled(orders))', '&& orders.length > 0')],
  },
  {
    name: 'what another instance has erased is still shown',
    edits: [
      edit(
        'apps/order/src/key-cache.ts',
        "if (type !== 'CustomerRecipientKept') this.drop(idOf(stream), data.kids);",
        'void [type, stream, data];',
      ),
    ],
  },
  {
    name: 'an erasure that has to wait is forgotten',
    edits: [edit('apps/order/src/service.ts', 'erasures: (s: AbortSignal) => personalData.run(s),', '')],
  },
  {
    name: 'an amount that is not compared',
    edits: [
      edit(
        'apps/payment/src/domain/payment.ts',
        'if (isSame(amount, state.amount)) return [arrived];',
        'return [arrived];',
      ),
      edit(
        'apps/order/src/domain/order.ts',
        "if (state.status !== 'stock-reserved' || !isSame(command.amount, state.terms.total)) return [];",
        "if (state.status !== 'stock-reserved') return [];",
      ),
    ],
  },
  {
    name: 'a reaction without its check for duplicates asks for the money again',
    edits: [
      edit(
        'apps/payment/src/domain/payment.ts',
        "return state.status === 'none' ? [{ type: 'PaymentRequested', data }] : [];",
        "return [{ type: 'PaymentRequested', data }];",
      ),
    ],
  },
  {
    name: 'an offset is stored before the work',
    edits: [
      edit(
        'libs/message-bus/src/memory.ts',
        'await handle(batch, member.lost);',
        'done();\n        subscriptions.forEach((subscription) => store(subscription, member));\n        await handle(batch, member.lost);',
      ),
    ],
  },
  {
    name: 'the offset of a batch that failed goes along with the next fetch',
    edits: [
      edit(
        'libs/message-bus/src/memory.ts',
        'await handle(batch, member.lost);',
        'done();\n        await handle(batch, member.lost);',
      ),
    ],
  },
  {
    name: 'money that comes late is noted, and its return forgotten',
    edits: [
      edit(
        'apps/payment/src/domain/payment.ts',
        "const late: readonly PaymentEvent[] = [arrived, { type: 'PaymentReturnRequested', data: {} }];",
        'const late: readonly PaymentEvent[] = [arrived];',
      ),
    ],
  },
  {
    name: 'a reservation is written stream by stream, and not as one',
    edits: [
      edit(
        'libs/event-store/src/transactor.ts',
        'const position = await store.append(writes);',
        'let position = 0n;\n        for (const write of writes) position = await store.append([write]);',
      ),
    ],
  },
  {
    name: 'a cancellation that comes first leaves no tombstone',
    edits: [
      edit(
        'apps/inventory/src/domain/reservation.ts',
        "return [{ type: 'ReservationBlocked', data: {} }];",
        'return [];',
      ),
    ],
  },
  {
    name: 'a deadline is kept in memory',
    edits: [
      edit(
        'apps/order/src/service.ts',
        'watchdog({ ...ports, expire, remind,',
        'watchdog({ ...ports, expire: async () => {}, remind,',
      ),
      edit(
        'apps/order/src/service.ts',
        '      return requireOrder({ state, position });',
        '      void clock.sleep(deadlineMs).then(() => expire(orderId)).catch(() => {});\n' +
          '      return requireOrder({ state, position });',
      ),
    ],
  },
  {
    name: 'a capture is tried again under another key, at a provider that then takes the money again',
    edits: [
      edit('apps/payment/src/cashier.ts', ': `${orderId}:capture`;', ': `${orderId}:capture:${doubtful}`;'),
      edit(
        'apps/payment/src/cashier.ts',
        "case 'capturing': {\n      const known = doubtful ? await provider.find(orderId, signal) : undefined;",
        "case 'capturing': {\n      const known = undefined as Awaited<ReturnType<typeof provider.find>>;",
      ),
      edit(
        'apps/payment/src/simulator/payment.ts',
        "if (known?.status === 'captured' || known?.status === 'refunded') return refused('already-captured');",
        "if (known?.status === 'captured') {\n" +
          "      const entry = { type: 'captured', currency: amount.currency, heldMinor: 0, chargedMinor: amount.amountMinor } as const;\n" +
          "      return { remember: true, answer: { status: 'captured', captureId: id } as const, changes: {}, entry };\n" +
          '    }',
      ),
    ],
  },
  {
    name: 'a projection writes its rows and its checkpoint one after the other, and counts twice',
    edits: [
      edit(
        'libs/projections/src/projector.ts',
        'await tables.commit({ projection, from, to, upserts, deletes, shows });',
        'await tables.commit({ projection, from, to: from, upserts, deletes });\n' +
          '  await tables.commit({ projection, from, to, upserts: [], deletes: [] });',
      ),
    ],
  },
  {
    name: 'of what is committed together, only the first projection is written, and all checkpoints move',
    edits: [
      edit(
        'libs/projections/src/joint-commits.ts',
        'write(all.map(({ change }) => change))',
        'write(all.map(({ change }, i) => (i === 0 ? change : { ...change, upserts: [], deletes: [] })))',
      ),
    ],
  },
  {
    name: 'a projection whose table takes no rows fails those that are committed with it',
    edits: [
      edit(
        'libs/projections/src/joint-commits.ts',
        'this.apart.add(each.change.projection.name);\n      void this.writeAlone(each);',
        "each.reject(new Error('What was committed together has failed.'));",
      ),
    ],
  },
  {
    name: 'rows that another instance has written since are believed as they were',
    edits: [
      edit(
        'libs/projections/src/projector.ts',
        'const known: KnownRows = new LRUCache({ max: MAX_ROWS });',
        'const known: KnownRows = ((runtime as any)[name] ??= new LRUCache({ max: MAX_ROWS }));',
      ),
    ],
  },
  {
    name: 'the row of a stream that goes on is taken for one that begins',
    edits: [
      edit(
        'libs/projections/src/fold.ts',
        'if (projection.rowPerStream && event.revision === 0) began.add(text);',
        'if (projection.rowPerStream && event.revision <= 1) began.add(text);',
      ),
    ],
  },
  {
    name: 'a store lets a cancellation and the pivot both win',
    edits: [
      edit(
        'libs/event-store/src/memory.ts',
        'const moved = writes.filter(({ stream, expected }) => this.revisionOf(stream) !== expected);',
        "const moved = writes.filter(({ stream, expected }) => !stream.startsWith('order-') && this.revisionOf(stream) !== expected);",
      ),
    ],
  },
  {
    name: 'an order that is called off after the pivot forgets that money is held',
    edits: [
      edit(
        'apps/order/src/domain/order.ts',
        "const moneyHeld = state.status !== 'placed';",
        "const moneyHeld = state.status === 'stock-reserved';",
      ),
    ],
  },
  {
    name: 'a relay saves its checkpoint before the bus has acknowledged, and skips at take-over',
    edits: [
      edit(
        'libs/message-bus/src/relay.ts',
        'if (messages.length > 0) await bus.publish(topic, messages);',
        'await checkpoints.save(name, position);\n    if (messages.length > 0) await bus.publish(topic, messages);',
      ),
    ],
  },
  {
    name: 'an empty decision on a cached state is believed, though another instance has moved the stream',
    edits: [
      edit(
        'libs/event-store/src/transactor.ts',
        'if (unproved.length > 0 && (await this.readForward(batch, new Map(unproved)))) continue;',
        'if (unproved.length < 0) continue;',
      ),
    ],
  },
  {
    name: 'after a conflict the stale state stays in the cache',
    edits: [
      edit(
        'libs/event-store/src/transactor.ts',
        'await this.readForward(batch, late, turn);',
        'if (late.size < 0) await this.readForward(batch, late, turn);',
      ),
    ],
  },
  {
    name: 'a message that failed is dropped after its first retry',
    edits: [
      edit(
        'libs/message-bus/src/consumer.ts',
        'if (failure) failed = { ...failure, id };\n        else handled.push(id);',
        'handled.push(id);\n        void failure;',
      ),
    ],
  },
  {
    name: 'what comes back after a call-off is not booked as available',
    edits: [
      edit(
        'apps/inventory/src/warehouse.ts',
        "if (event.type === 'ReservationRejected' || event.type === 'ReservationBlocked') continue;",
        "if (event.type === 'ReservationRejected' || event.type === 'ReservationBlocked' || event.type === 'ReservationReturned') continue;",
      ),
    ],
  },
  {
    name: 'who writes events wakes nobody who follows them, and they are found at the next poll',
    edits: [
      edit('libs/event-store/src/memory.ts', 'this.events.bells.forEach((bell) => bell.ring());', ''),
      edit(
        'libs/event-store/src/memory.ts',
        'await bell.wait(stop);',
        'await bell.wait(stop, { clock: this.clock, pollMs: 1_000 });',
      ),
    ],
  },
  {
    name: 'the cashier learns of payments from its table alone',
    edits: [
      edit(
        'apps/payment/src/cashier.ts',
        'if (paymentTodo.apply(undefined, event)) desk.take(idOf(event.stream), event.position);',
        'void event;',
      ),
    ],
  },
  {
    name: 'who waits for an order is not woken when it is completed',
    edits: [edit('apps/order/src/settlement-waits.ts', 'if (SETTLES.has(type))', "if (type === 'OrderSettled')")],
  },
  {
    name: 'nobody is reminded',
    edits: [
      edit(
        'apps/order/src/service.ts',
        'watchdog({ ...ports, expire, remind,',
        'watchdog({ ...ports, expire, remind: async () => {},',
      ),
    ],
  },
  {
    name: 'a reminder is carried out, and the answer that was lost is not said again',
    edits: [
      edit(
        'apps/inventory/src/service.ts',
        "if (message.type === 'OrderReminder') await publishAgain(",
        "if (message.type === 'OrderSettled' as string) await publishAgain(",
      ),
    ],
  },
  {
    name: 'a payment is not told again when its answer was lost',
    edits: [
      edit(
        'apps/payment/src/service.ts',
        "if (message.type === 'OrderReminder') await publishAgain(",
        "if (message.type === 'OrderSettled' as string) await publishAgain(",
      ),
    ],
  },
  {
    name: 'a price that changes while it is read is cached as it was',
    edits: [
      edit(
        'apps/order/src/followed-cache.ts',
        'changes === this.changes && keeps(found)',
        'changes <= this.changes && keeps(found)',
      ),
    ],
  },
  {
    name: 'a receipt that is sent again is answered with the stock of now',
    edits: [
      edit(
        'apps/inventory/src/warehouse.ts',
        '(made.answer ?? desk.state(stock, stockStream))',
        'desk.state(stock, stockStream)',
      ),
    ],
  },
  {
    name: 'a stale refusal counts as new',
    edits: [
      edit(
        'apps/order/src/domain/order.ts',
        'number <= state.refusalsKnown) return [];',
        'state.refusal !== undefined) return [];',
      ),
    ],
  },
  {
    name: 'what was refused is tried again, though nobody has asked for it',
    edits: [
      edit(
        'apps/payment/src/domain/payment.ts',
        "case 'capture-refused':\n      return refusalsKnown < state.refusals ? [] :",
        "case 'capture-refused':\n      return refusalsKnown < 0 ? [] :",
      ),
    ],
  },
  {
    name: 'a deadline calls off an order that is confirmed',
    edits: [
      edit(
        'apps/order/src/domain/order.ts',
        "const before = state.status === 'placed' || state.status === 'stock-reserved';",
        "const before = state.status !== 'none' && state.status !== 'completed' && reason === 'deadline' || state.status === 'placed' || state.status === 'stock-reserved';",
      ),
    ],
  },
  {
    name: 'pauses go by the wall clock',
    edits: [
      edit(
        'libs/event-store/src/subscription.ts',
        'const heldMs = yieldedMs + quietMs - clock.monotonicMs();',
        'const heldMs = yieldedMs + quietMs - clock.now().getTime();',
      ),
      edit(
        'libs/event-store/src/subscription.ts',
        'yieldedMs = clock.monotonicMs();',
        'yieldedMs = clock.now().getTime();',
      ),
    ],
  },
];
