import { describe, expect, test } from 'vitest';
import { parseStory, readStory } from './file.js';

const fact = {
  id: 'a',
  service: 'order',
  stream: 'order-1',
  revision: 0,
  position: '1',
  type: 'OrderPlaced',
  data: { lines: [] },
  recordedAt: '2026-11-21T12:00:00.000Z',
  correlationId: 'c',
  causationId: 'c',
  message: { topic: 'order.events.v1', partition: 3, offset: '4711' },
  shown: { 'order-summary': '2026-11-21T12:00:00.030Z', 'order-todo': null },
};
const story = {
  orderId: '1',
  at: '2026-11-21T12:00:01.000Z',
  complete: true,
  missing: [],
  facts: [fact],
  ahead: {
    awaits: [{ what: 'stock', from: 'inventory', since: '2026-11-21T12:00:00.000Z' }],
    choices: [{ name: 'cancel', allowed: true, detail: 'The stock is given back.' }],
  },
  exchanges: [
    { what: 'authorize', asked: 'a', answer: 'b', by: 'webhook' },
    { what: 'capture', asked: 'c', dropped: true },
  ],
  troubles: [
    { at: '2026-11-21T12:00:00.500Z', service: 'payment', what: 'the provider cannot be reached' },
    { at: '2026-11-21T12:00:00.600Z', service: 'order', what: 'killed', until: '2026-11-21T12:00:00.900Z' },
    { at: '2026-11-21T12:00:00.700Z', what: 'all machines stand still' },
  ],
};

test('a story from before exchanges were told opens as it is', () => {
  const { exchanges: _, ...before } = story;
  expect(parseStory(JSON.stringify(before))).toEqual(before);
});

test('a story that was saved is the same when it is opened', () => {
  expect(parseStory(JSON.stringify(story))).toEqual(story);
  const { position: _, correlationId: __, causationId: ___, message: ____, ...own } = fact;
  const ofCustomer = { ...story, complete: false, missing: ['inventory'], facts: [{ ...own, shown: {} }] };
  expect(parseStory(JSON.stringify(ofCustomer))).toEqual(ofCustomer);
});

describe('a file is refused in words', () => {
  test.each([
    ['is not JSON', 'Dear diary', 'The file is not JSON.'],
    ['is empty', '', 'The file is not JSON.'],
    ['is of another kind', '[1]', 'The file is JSON, and no story.'],
    ['is null', 'null', 'The file is JSON, and no story.'],
    ['has no facts', JSON.stringify({ ...story, facts: undefined }), 'facts'],
    ['has a fact without data', JSON.stringify({ ...story, facts: [{ ...fact, data: 'text' }] }), 'facts[0].data'],
    [
      'has a time that is none',
      JSON.stringify({ ...story, facts: [{ ...fact, recordedAt: 'noon' }] }),
      'facts[0].recordedAt',
    ],
    [
      'was shown at no time',
      JSON.stringify({ ...story, facts: [{ ...fact, shown: { summary: 7 } }] }),
      'facts[0].shown.summary',
    ],
    [
      'awaits nothing that is known',
      JSON.stringify({ ...story, ahead: { awaits: [{}], choices: [] } }),
      'ahead.awaits[0].what',
    ],
    ['has an exchange that is none', JSON.stringify({ ...story, exchanges: [{}] }), 'exchanges[0].what'],
    [
      'has a trouble that is over at no time',
      JSON.stringify({ ...story, troubles: [{ at: fact.recordedAt, what: 'killed', until: 'noon' }] }),
      'troubles[0].until',
    ],
    [
      'has a trouble that is none',
      JSON.stringify({ ...story, troubles: [{ at: fact.recordedAt }] }),
      'troubles[0].what',
    ],
  ])('that %s', (_what, content, said) => expect(() => parseStory(content)).toThrow(said));

  test('that is too large, without being read', async () => {
    const file = { size: 21e6, text: () => Promise.reject(new Error('It was read.')) } as unknown as File;
    await expect(readStory(file)).rejects.toThrow('20 MB');
  });
});

test('what a file says besides a story is left out', () => {
  expect(parseStory(JSON.stringify({ ...story, script: '<script>' }))).toEqual(story);
});
