/**
 * As much of a gRPC server as the stand-in for KurrentDB needs, on Node's own HTTP/2: calls by their path, messages in
 * their frames, and the status in the trailers. Nothing is compressed.
 */
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';

/** Codes of gRPC. */
export const OK = 0;
export const FAILED_PRECONDITION = 9;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;

/** A call fails with a status, and what describes it to the client in the trailers. */
export class CallFailed extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly details?: Uint8Array,
  ) {
    super(message);
  }
}

export interface Call {
  /** What the client sends, message by message. */
  readonly requests: AsyncIterator<Uint8Array>;
  /** Resolves when the client can take more. */
  send(message: Uint8Array): Promise<void>;
  /** Aborts when the call has ended, whoever ended it. */
  readonly ended: AbortSignal;
  /** Which connection it came over. */
  readonly connection: object;
}

export type Handler = (call: Call) => Promise<void>;

/** By the path of the method: `/package.Service/Method`. */
export function grpcServer(handlers: Readonly<Record<string, Handler>>): Http2Server {
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, headers) => void answer(stream, headers, handlers));
  return server;
}

async function answer(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  handlers: Readonly<Record<string, Handler>>,
): Promise<void> {
  const ended = new AbortController();
  stream.on('error', () => {}); // A client that goes away, which `close` tells too.
  stream.on('close', () => ended.abort());
  let status: Record<string, string | number> = { 'grpc-status': OK };
  stream.on('wantTrailers', () => stream.sendTrailers(status));
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  const call: Call = {
    requests: messagesOf(stream),
    async send(message) {
      if (stream.writable && !stream.write(framed(message))) await drained(stream);
    },
    ended: ended.signal,
    connection: stream.session!,
  };
  try {
    const handler = handlers[headers[':path'] ?? ''];
    if (!handler) throw new CallFailed(UNIMPLEMENTED, `There is no ${headers[':path']}.`);
    await handler(call);
  } catch (error) {
    if (!(error instanceof CallFailed) && !ended.signal.aborted) console.error(error);
    const { code, message, details } = error instanceof CallFailed ? error : new CallFailed(INTERNAL, String(error));
    status = { 'grpc-status': code, 'grpc-message': encodeURIComponent(message) };
    if (details) status['grpc-status-details-bin'] = Buffer.from(details).toString('base64');
  }
  stream.end();
}

const HEAD = 5;

function framed(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEAD + message.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, HEAD);
  return frame;
}

async function* messagesOf(stream: ServerHttp2Stream): AsyncGenerator<Uint8Array> {
  let rest = Buffer.alloc(0);
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    while (rest.length >= HEAD && rest.length >= HEAD + rest.readUInt32BE(1)) {
      const end = HEAD + rest.readUInt32BE(1);
      yield rest.subarray(HEAD, end);
      rest = rest.subarray(end);
    }
  }
}

function drained(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done).off('close', done);
      resolve();
    };
    stream.on('drain', done).on('close', done);
  });
}
