/**
 * Serves the console: a page, and the script and style that it names. They are a handful of files, which are read once, so
 * that no path of a request ever becomes a path of a file.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Problem } from '#nest';
import { consoleFiles, consolePages } from '../definition.js';

/** Where `npm run build` puts it, seen from where all processes of Larder run. */
export const CONSOLE_FOLDER = 'dist/apps/console';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
};

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ');

const PAGE_HEADERS = {
  // It names the files of one build: another is noticed at once.
  'cache-control': 'no-cache',
  'content-security-policy': POLICY,
};

const ASSET_HEADERS = {
  // Their names change with their content.
  'cache-control': 'public, max-age=31536000, immutable',
  // A script that a page starts as a thread of its own goes by its own policy.
  'content-security-policy': POLICY,
};

interface ServedFile {
  readonly type: string;
  readonly plain: Buffer;
  readonly zipped: Buffer;
}

export function serveConsole(http: FastifyInstance, folder = CONSOLE_FOLDER): void {
  const files = readFiles(folder);
  const assets = readFiles(join(folder, 'assets'));
  for (const path of consolePages) {
    http.get(path, (request, reply) => {
      const page = files.get('index.html');
      if (!page) throw new Problem(503, 'unavailable', 'The console is not built. Run `npm run build`.');
      return answer(page, request, reply.headers(PAGE_HEADERS));
    });
  }
  for (const name of consoleFiles) {
    http.get(`/console/${name}`, (request, reply) => {
      const file = files.get(name);
      return answer(file, request, file ? reply.header('cache-control', 'no-cache') : reply);
    });
  }
  http.get<{ Params: { file: string } }>('/console/assets/:file', (request, reply) => {
    const asset = assets.get(request.params.file);
    return answer(asset, request, asset ? reply.headers(ASSET_HEADERS) : reply);
  });
}

function readFiles(folder: string): ReadonlyMap<string, ServedFile> {
  if (!existsSync(folder)) return new Map();
  const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    entries.map(({ name }) => {
      const plain = readFileSync(join(folder, name));
      return [name, { type: TYPES[extname(name)] ?? 'application/octet-stream', plain, zipped: gzipSync(plain) }];
    }),
  );
}

function answer(file: ServedFile | undefined, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (!file) throw new Problem(404, 'not-found', 'Nothing is at this path.');
  reply.type(file.type).header('vary', 'Accept-Encoding');
  const isZipped = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test([request.headers['accept-encoding']].join());
  return isZipped ? reply.header('content-encoding', 'gzip').send(file.zipped) : reply.send(file.plain);
}
