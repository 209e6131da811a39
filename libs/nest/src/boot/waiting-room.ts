/**
 * Who answers on a service's port while its servers are still waited for: it is alive and not ready, and whoever asks for
 * more is told to try again. A refused connection would be red as well, but says neither to a probe nor to a person
 * whether the process is at work.
 */
import { createServer } from 'node:http';
import type { BaseConfig } from '#service';

/**
 * Opens it, and returns what closes it, so that the service can listen at the same address. A port of 0 needs none:
 * nobody knows yet which it will be.
 * @throws the error of `listen` when the address cannot be had
 */
export async function openWaitingRoom({ HOST, PORT }: BaseConfig): Promise<() => Promise<void>> {
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

/** In the shapes that the service itself will answer in (http.ts, problem.ts). */
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
