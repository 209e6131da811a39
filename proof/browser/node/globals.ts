/** What the services find in Node without importing it, for a browser. It has to be imported before them. */
import { config } from 'zod';
import { BrowserBuffer } from './buffer.js';

/** A message to oneself comes when all that follows from what was done in memory is done, too. */
const { port1, port2 } = new MessageChannel();
const waiting: (() => void)[] = [];
Object.assign(port1, { onmessage: () => waiting.shift()!() });

function setImmediate(then: () => void): void {
  waiting.push(then);
  port2.postMessage(undefined);
}

Object.assign(globalThis, { Buffer: BrowserBuffer, setImmediate });
// Where no text may become code, zod does not even try.
config({ jitless: true });
