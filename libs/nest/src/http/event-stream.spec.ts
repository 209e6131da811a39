import { Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { IncomingMessage } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManualClock } from '#runtime/testing';
import { silentLog } from '#runtime';
import { openApp } from '#test/app';
import { EventReader, requestEvents } from '#test/event-reader';
import { Background } from '../boot/background.js';
import { type EventStream, EventStreams } from './event-stream.js';

@Module({})
class TestModule {}

const clock = new ManualClock();
const opened: EventReader[] = [];
let app: NestFastifyApplication;
let background: Background;
let streams: EventStreams;
let last: EventStream;
/** What the handler waits for before it opens a stream. */
let held: Promise<void> | undefined;
let arrived: number;

beforeEach(async () => {
  background = new Background(silentLog);
  streams = new EventStreams({ clock, stopping: background.stopping, max: 2 });
  background.run((signal) => streams.run(signal));
  [held, arrived] = [undefined, 0];
  app = await openApp({
    module: TestModule,
    access: { 'GET /events': 'anyone' },
    background,
    routes: (http) =>
      void http.get('/events', async (request, reply) => {
        arrived++;
        await held;
        last = streams.open(request, reply, '7');
      }),
  });
});

afterEach(async () => {
  for (const reader of opened.splice(0)) reader.close();
  await app.close();
});

const url = async () => `${await app.getUrl()}/events`;

async function open(): Promise<EventReader> {
  const reader = await EventReader.open(await url());
  opened.push(reader);
  return reader;
}

test('it begins with the id after which it goes on, and says when to come back', async () => {
  const { response, ...reader } = await open();
  await expect.poll(() => reader.events).toEqual([{ name: 'begin', data: '{}', id: '7' }]);
  expect(response.headers).toMatchObject({ 'content-type': 'text/event-stream; charset=utf-8', connection: 'close' });
});

test('a silent stream has a heartbeat every five seconds', async () => {
  const response: IncomingMessage = await requestEvents(await url(), {}, new AbortController().signal);
  let text = '';
  response.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await expect.poll(() => text).toMatch(/^retry: 1000\n\n/);
  text = '';
  await clock.advance(10_000);
  await expect.poll(() => text).toBe(':\n\n:\n\n');
  response.destroy();
});

test('after ten minutes it ends, so that a token is looked at again', async () => {
  const reader = await open();
  await clock.advance(9.5 * 60_000);
  expect(streams.size).toBe(1);
  await clock.advance(60_000);
  await expect.poll(() => reader.hasEnded).toBe(true);
});

test('a reader that goes makes room for another', async () => {
  const [one] = [await open(), await open()];
  await expect(open()).rejects.toThrow(/^503 .*Too many/);
  one.close();
  await expect.poll(() => streams.size).toBe(1);
  await open();
});

test('a reader that goes before it begins takes no place', async () => {
  let release = () => {};
  held = new Promise((resolve) => (release = resolve));
  const stop = new AbortController();
  const gone = requestEvents(await url(), {}, stop.signal).catch(() => 'gone');
  await expect.poll(() => arrived).toBe(1);
  stop.abort();
  expect(await gone).toBe('gone');
  await expect.poll(() => new Promise((tell) => app.getHttpServer().getConnections((_, count) => tell(count)))).toBe(0);
  release();
  await expect.poll(() => last?.ended.aborted).toBe(true);
  expect(streams.size).toBe(0);
});

test('a stop ends all, also those whose readers do not read, and lets nobody in', async () => {
  const reader = await open();
  const idle = await requestEvents(await url(), {}, new AbortController().signal);
  idle.on('error', () => {});
  last.send('x'.repeat(20_000_000)); // More than the sockets of both sides hold.
  background.beforeApplicationShutdown();
  await expect.poll(() => reader.hasEnded).toBe(true);
  await expect.poll(() => streams.size).toBe(0);
  await expect(open()).rejects.toThrow(/^503 .*The service stops/);
});
