/** What a shop tells whoever asks: every operation of its tables of access, about every person, as several callers. */
import { accessOf } from '#service';
import { randomUUID } from 'node:crypto';
import { services, shop as definitions } from '../../apps/shop.js';
import type { Headers } from '../../scripts/lib/api.js';
import type { Shop } from '../shop/open-shop.js';
import type { Person } from './people.js';
import type { Sweep } from './places.js';

/** A person, and the orders that went to them. */
export interface Customer extends Person {
  readonly orderIds: readonly string[];
}

/** The operations that show whom an order goes to, to those who may know it. */
const SHOWING: readonly string[] = [
  'GET /orders/:orderId',
  'GET /orders/:orderId/history',
  'GET /customers/:customerId/personal-data',
];

/** Asks everything that tells nothing of people: of strangers every operation, and of the staff what is for them. */
export async function searchAnswers(sweep: Sweep, shop: Shop, customers: readonly Customer[]): Promise<void> {
  const callers: Record<string, Headers> = {
    nobody: {},
    'a stranger': shop.as(randomUUID(), 'customer'),
    'a machine': shop.as('machine', 'service'),
    staff: shop.as('staff', 'clerk', 'operator', 'service'),
  };
  const asked = Object.entries(callers).map(async ([caller, headers]) => {
    for (const service of services) {
      for (const operation of Object.keys(accessOf(definitions[service].access))) {
        // What they do would be done, and what they may know is another question.
        if (caller === 'staff' && (!operation.startsWith('GET ') || SHOWING.includes(operation))) continue;
        for (const path of pathsOf(operation, customers)) {
          // All instances are the same, unless one was added with a leak.
          const answer = await ask(`${shop.urls[service].at(-1)}${path}`, operation.split(' ')[0]!, headers);
          sweep.look('answers', `answer to ${operation} for ${caller}`, answer);
        }
      }
    }
  });
  await Promise.all(asked);
}

/** What those are told who may know to whom the orders of a customer went: the customer, a clerk, an operator. */
export async function searchAuthorised(sweep: Sweep, shop: Shop, customer: Customer): Promise<void> {
  const callers: Record<string, Headers> = {
    'the customer': shop.as(customer.customerId, 'customer'),
    'a clerk': shop.as('clerk', 'clerk'),
    'an operator': shop.as('operator', 'operator'),
  };
  const asked = Object.entries(callers).map(async ([caller, headers]) => {
    for (const operation of SHOWING) {
      for (const path of pathsOf(operation, [customer])) {
        const answer = await ask(`${shop.order[0]}${path}`, 'GET', headers);
        sweep.look('answers', `answer to ${operation} for ${caller}`, answer);
      }
    }
  });
  await Promise.all(asked);
}

/** The paths of an operation about each of these customers; one that is about nobody has one path. */
function pathsOf(operation: string, customers: readonly Customer[]): ReadonlySet<string> {
  const path = operation
    .split(' ')[1]!
    .replace(':sku', 'honey')
    .replace(':id', '1')
    .replace(':file', 'swagger-ui.css')
    .replace(/activity$/, '$&?after=0');
  return new Set(
    customers.flatMap(({ customerId, orderIds }) =>
      orderIds.map((orderId) => path.replace(':orderId', orderId).replace(':customerId', customerId)),
    ),
  );
}

/** The whole of an answer: head and body. */
async function ask(url: string, method: string, headers: Headers): Promise<string> {
  const response = await fetch(url, { method, headers, redirect: 'manual' });
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
  const text = isStream ? await beginningOf(response) : await response.text();
  // Whoever is turned away because he asks too often has not been told anything.
  if (response.status === 429) throw new Error(`${method} ${url} is limited: nothing is proved by its answer.`);
  return `${response.status} ${JSON.stringify([...response.headers])}\n${text}`;
}

/** What a stream tells until nothing more has happened: from one event that says how far all is to the next. */
async function beginningOf(response: Response): Promise<string> {
  let told = '';
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    told += text;
    const [last, before] = told.split('\n\n').slice(0, -1).toReversed();
    if (last?.includes('event: lag') && before?.includes('event: lag')) break;
  }
  return told;
}
