/**
 * Answers on a service's port while the service waits for its servers: it is alive, not ready, and answers any other
 * request with "try again". A refused connection would fail a probe as well, but would show neither probes nor people
 * whether the process runs.
 */
import { createServer } from 'node:http';
import type { HttpConfig } from '#service';

/**
 * Listens, and returns a function that stops listening, so that the service can listen at the same address. Port 0 needs
 * no waiting room: its number is not known yet.
 * @throws the error of `listen` when the address cannot be used
 */
export async function openWaitingRoom({ HOST, PORT }: HttpConfig): Promise<() => Promise<void>> {
  if (PORT === 0) return async () => {};
  const server = createServer((request, response) => {
    const { status, type = 'application/json', body } = answerTo(request.url?.split('?', 1)[0] ?? '/');
    response
      .writeHead(status, { 'content-type': type, 'retry-after': '1', connection: 'close' })
      .end(JSON.stringify(body));
  });
  await new Promise<void>((listening, failed) => server.once('error', failed).listen(PORT, HOST, listening));
  return () =>
    new Promise((closed) => {
      server.close(() => closed());
      server.closeAllConnections();
    });
}

/** In the form of the service's own answers (create-app.ts, problem.ts). */
function answerTo(path: string): { status: number; type?: string; body: object } {
  if (path === '/health/live') return { status: 200, body: { status: 'live' } };
  if (path === '/health/ready') return { status: 503, body: { status: 'not-ready', checks: {} } };
  const body = {
    type: 'urn:larder:problem:starting',
    title: 'Starting',
    status: 503,
    detail: 'The service is starting. Try again.',
    code: 'starting',
    instance: path,
  };
  return { status: 503, type: 'application/problem+json', body };
}
