/** Reads the server-sent events of our own applications: they have one line of each kind at most, and end lines with LF. */
import { get as getHttp, type IncomingMessage } from 'node:http';
import { get as getHttps } from 'node:https';

export interface ReceivedEvent {
  readonly name: string;
  readonly data: string;
  readonly id: string | undefined;
}

/** The events of a body, as many at a time as have come together. Comments, and what was cut off at the end, are nothing. */
export async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<readonly ReceivedEvent[]> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    const blocks = text.split('\n\n');
    text = blocks.pop()!;
    yield blocks.flatMap((block) => eventIn(block) ?? []);
  }
}

/**
 * The answer to a request for events. Not by fetch, which opens a connection in place of each that is broken off: a service
 * that stops would wait for it.
 */
export function requestEvents(
  url: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const get = url.startsWith('https:') ? getHttps : getHttp;
  return new Promise((answered, failed) => {
    get(url, { headers: { ...headers, accept: 'text/event-stream' }, signal, agent: false }, answered).on(
      'error',
      failed,
    );
  });
}

function eventIn(block: string): ReceivedEvent | undefined {
  const lines = block.split('\n');
  const valueOf = (field: string) => lines.find((line) => line.startsWith(`${field}: `))?.slice(field.length + 2);
  const data = valueOf('data');
  return data === undefined ? undefined : { name: valueOf('event') ?? 'message', data, id: valueOf('id') };
}
