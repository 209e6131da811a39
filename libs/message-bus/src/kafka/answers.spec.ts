import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SeededRandom } from '#runtime/testing';
import { deliverWholeAnswers } from './answers.js';

let server: Server;
let socket: Socket;
let other: Socket;
let closed: Promise<unknown>;
const answers: string[] = [];
const errors: string[] = [];
beforeEach(async () => {
  answers.length = errors.length = 0;
  server = createServer((it) => (other = it)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  socket = deliverWholeAnswers(connect((server.address() as AddressInfo).port, '127.0.0.1'));
  socket.on('data', (answer: Buffer) => answers.push(answer.toString('latin1')));
  socket.on('error', ({ message }) => errors.push(message));
  await Promise.all([once(socket, 'connect'), once(server, 'connection')]);
  closed = new Promise((resolve) => socket.once('close', resolve));
});
afterEach(() => {
  socket.destroy();
  server.close();
});

const answerOf = (text: string) => {
  const answer = Buffer.alloc(4 + text.length, text);
  answer.writeInt32BE(text.length);
  answer.write(text, 4, 'latin1');
  return answer;
};

test('answers are delivered whole and one by one, however they arrive', async () => {
  const random = new SeededRandom(1);
  const below = (limit: number) => Math.floor(random.next() * limit);
  const sent = Array.from({ length: 200 }, (_, i) => answerOf(`${i}`.padEnd(4 + below(300), '.')));
  const bytes = Buffer.concat(sent);
  for (let at = 0; at < bytes.length;) {
    const next = at + 1 + below(below(20) === 0 ? 3_000 : 30);
    socket.emit('data', bytes.subarray(at, next));
    at = next;
  }
  expect(answers).toEqual(sent.map((it) => it.toString('latin1')));
});

test('of an answer whose connection ends amid it nothing is delivered', async () => {
  other.write(answerOf('whole'));
  other.end(answerOf('half of it').subarray(0, 9));
  await closed;
  expect(answers).toEqual([answerOf('whole').toString('latin1')]);
  expect(errors).toEqual([]);
});

test.each([
  ['a length of nothing', Buffer.alloc(64)],
  ['a negative length', Buffer.alloc(64, 0xff)],
  ['another protocol', Buffer.from('HTTP/1.1 400 Bad Request')],
])('what is no answer ends the connection, and not the process: %s', async (_what, bytes) => {
  other.write(bytes);
  await closed;
  expect([answers, errors]).toEqual([[], ['The broker sent something else than an answer.']]);
});

test('an answer that cannot be read ends the connection, and not the process', async () => {
  socket.on('data', () => {
    throw new RangeError('Attempt to access memory outside buffer bounds');
  });
  other.write(answerOf('unreadable'));
  await closed;
  expect(errors).toEqual(['Attempt to access memory outside buffer bounds']);
});
