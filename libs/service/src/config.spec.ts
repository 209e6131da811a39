import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { z } from 'zod';
import { silentLog, SystemClock } from '#runtime';
import { openEventStore, openMessageBus } from './adapters/adapters.js';
import {
  baseConfig,
  duration,
  isLoopback,
  loadConfig,
  secrets,
  tcpPort,
  StartError,
  withoutPasswords,
} from './config.js';

const schema = baseConfig.extend({ PORT: tcpPort(3001), DEADLINE: duration().prefault('15min').describe('When') });

const env = {
  EVENT_STORE_URL: 'postgresql://larder:s3cret@localhost:5432/order',
  MESSAGE_BUS_URL: 'postgresql://larder:s3cret@localhost:5432/bus',
  DATABASE_URL: 'postgresql://larder:s3cret@localhost:5432/order',
  AUTH_ISSUER: 'https://login.example.com/shop',
};

function refused(changes: NodeJS.ProcessEnv): StartError {
  try {
    loadConfig(schema, { ...env, ...changes });
  } catch (error) {
    if (error instanceof StartError) return error;
    throw error;
  }
  throw new Error('It was accepted.');
}

test('variables that are not set have their typed defaults', () => {
  const config = loadConfig(schema, { ...env, LOG_PRETTY: 'false', PORT: '0', LOG_LEVEL: '' });
  expect(config).toMatchObject({
    PORT: 0,
    HOST: '127.0.0.1',
    LOG_LEVEL: 'info',
    LOG_PRETTY: false,
    DEADLINE: 900_000,
    START_TIMEOUT: 30_000,
    REQUEST_TIMEOUT: 1_800,
  });
});

test('white space around a value is not part of it: a secret from a file often ends with a line break', () => {
  const secret = schema.extend({ SECRET: z.string().min(8).describe('What signs') });
  const given = { ...env, SECRET: ' a secret from a file\r\n', HOST: '::1\n', LOG_LEVEL: 'debug ' };
  expect(loadConfig(secret, given)).toMatchObject({
    SECRET: 'a secret from a file',
    HOST: '::1',
    LOG_LEVEL: 'debug',
  });
  expect(() => loadConfig(secret, { ...given, SECRET: ' \n' })).toThrow('SECRET is not set. Set it: What signs.');
});

test.each([
  'https://login.example.com',
  'https://login.example.com/shop/',
  'http://localhost:3000',
  'http://127.0.0.1:3000',
  'http://[::1]:3000',
  'http://identity:3000',
])('%s is an issuer', (AUTH_ISSUER) =>
  expect(loadConfig(schema, { ...env, AUTH_ISSUER })).toMatchObject({ AUTH_ISSUER }),
);

test.each([
  'http://login.example.com',
  'http://10.0.0.7:3000',
  'http://127.0.0.1.example.com',
  'ftp://localhost',
  'login.example.com',
  'https://login.example.com/?tenant=shop',
])("%s is none: its keys could be anybody's", (AUTH_ISSUER) =>
  expect(refused({ AUTH_ISSUER }).message).toMatch(/^AUTH_ISSUER is n[^\n]+ Set it: The OpenID provider [^\n]+\.$/),
);

test('secrets are one, or two while one replaces the other', () => {
  expect(secrets().parse('sixteen letters!')).toEqual(['sixteen letters!']);
  expect(secrets().parse('sixteen letters! , another of these')).toEqual(['sixteen letters!', 'another of these']);
});

test.each([
  ['fifteen letters', 'is shorter than 16'],
  ['sixteen letters!,', 'is shorter than 16'],
  ['sixteen letters!, fifteen letters', 'is shorter than 16'],
  ['sixteen letters!,sixteen letters!', 'the same secret twice'],
  ['sixteen letters!,another of these,a third of these', 'more than two secrets'],
])('the secrets "%s" are refused', (text, problem) =>
  expect(secrets().safeParse(text).error?.issues[0]?.message).toContain(problem),
);

test.each(['127.0.0.1', '127.8.9.10', '::1', '[::1]', 'localhost', 'LOCALHOST'])('%s is loopback', (host) =>
  expect(isLoopback(host)).toBe(true),
);

test.each(['0.0.0.0', '::', '10.0.0.1', '127.example.com', '127.0.0.1.example.com', 'localhost.example.com', '127.1'])(
  '%s is not taken for loopback',
  (host) => expect(isLoopback(host)).toBe(false),
);

const folder = mkdtempSync(join(tmpdir(), 'larder-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
function fileWith(content: string | Uint8Array): string {
  const path = join(folder, `${files++}`);
  writeFileSync(path, content);
  return path;
}

test('every variable may come from a file, whose last line break is not part of the value', () => {
  const { DATABASE_URL: _, ...others } = env;
  const given = { ...others, DATABASE_URL_FILE: fileWith(`${env.DATABASE_URL}\r\n`), PORT_FILE: fileWith('3009') };
  expect(loadConfig(schema, given)).toMatchObject({ DATABASE_URL: env.DATABASE_URL, PORT: 3009 });
  // An empty variable counts as not set, on either side.
  expect(loadConfig(schema, { ...given, PORT: ' ' }).PORT).toBe(3009);
  expect(loadConfig(schema, { ...env, PORT: '3009', PORT_FILE: ' ' }).PORT).toBe(3009);
});

test('what is in a file is checked as any other value, and not shown', () => {
  const error = refused({ DATABASE_URL: '', DATABASE_URL_FILE: fileWith('mysql://larder:s3cret@localhost/order') });
  expect(error.message).toMatch(/^DATABASE_URL is not a postgresql:\/\/ URL\. Set it: /);
  expect(error.message).not.toContain('s3cret');
});

test('a variable beside its file is refused: one of the two may be old', () => {
  const error = refused({ DATABASE_URL_FILE: fileWith(env.DATABASE_URL) });
  expect(error.exitCode).toBe(78);
  expect(error.message).toBe('DATABASE_URL and DATABASE_URL_FILE are both set. Remove one of them.');
});

test.each([
  ['does not exist', () => join(folder, 's3cret')],
  ['does not exist', () => join(fileWith('text'), 's3cret')],
  ['is a folder', () => folder],
  ['is empty', () => fileWith(' \n')],
  ['is not text in UTF-8', () => fileWith(new Uint8Array([0x73, 0xff]))],
  ['cannot be read (ENAMETOOLONG)', () => 's3cret'.repeat(1_000)],
  ['cannot be read (ERR_INVALID_ARG_VALUE)', () => 's3cret\0'],
])('a file that %s is refused, and neither its path nor its content is shown', (problem, path) => {
  const error = refused({ DATABASE_URL: undefined, DATABASE_URL_FILE: path() });
  expect(error.exitCode).toBe(78);
  expect(error.message).toBe(
    `DATABASE_URL_FILE names a file that ${problem}. Set it to the path of one with the value of DATABASE_URL.`,
  );
});

test('every file that cannot be used is named', () =>
  expect(refused({ PORT_FILE: folder, HOST_FILE: folder, HOST: '::1' }).message).toMatch(
    /^HOST and HOST_FILE are both set\. .* PORT_FILE names a file that is a folder\. /,
  ));

test('origins are a list', () => {
  const listed = loadConfig(schema, { ...env, CORS_ORIGINS: 'https://shop.example, http://localhost:5173' });
  expect(listed.CORS_ORIGINS).toEqual(['https://shop.example', 'http://localhost:5173']);
});

test.each([
  ['500ms', 500],
  ['2s', 2_000],
  ['15min', 900_000],
  ['24h', 86_400_000],
  ['24d', 24 * 86_400_000],
])('the duration %s is %i ms', (text, ms) => expect(duration().parse(text)).toBe(ms));

test.each(['', '5', '1.5s', '-1s', '2 s', '5m', '600h', '99999999999s'])('"%s" is no duration', (text) =>
  expect(duration().safeParse(text).success).toBe(false),
);

test('a duration is no longer than a timer can hold, unless none has to', () => {
  expect(duration().safeParse('25d').error?.issues[0]?.message).toBe('is longer than 24 days');
  expect(duration({ longestDays: 3_650 }).parse('3650d')).toBe(3_650 * 86_400_000);
  expect(duration({ longestDays: 3_650 }).safeParse('3651d').error?.issues[0]?.message).toBe(
    'is longer than 3650 days',
  );
});

test.each([
  ['EVENT_STORE_URL', undefined, 'EVENT_STORE_URL is not set. Set it: '],
  ['EVENT_STORE_URL', '', 'EVENT_STORE_URL is not set. Set it: '],
  ['EVENT_STORE_URL', 'localhost', 'EVENT_STORE_URL is not a URL. Set it: '],
  ['DATABASE_URL', 'mysql://larder:s3cret@localhost/order', 'DATABASE_URL is not a postgresql:// URL. Set it: '],
  ['CORS_ORIGINS', 'https://shop.example/', 'CORS_ORIGINS is not a list of origins such as https://shop.example,'],
  ['CORS_ORIGINS', 'https://shop.example,*', 'CORS_ORIGINS is not a list of origins such as https://shop.example,'],
  ['DATABASE_URL', `${env.DATABASE_URL}?schema=shop`, 'DATABASE_URL names a schema other than public. Set it: '],
  [
    'EVENT_STORE_URL',
    `${env.DATABASE_URL}?a=b&schema=shop`,
    'EVENT_STORE_URL names a schema other than public. Set it: ',
  ],
  ['PORT', '70000', 'PORT is not a port. Set it: '],
  ['PORT', 'http', 'PORT is not a port. Set it: '],
  ['LOG_LEVEL', 'loud', 'LOG_LEVEL is not a log level. Set it: '],
  ['LOG_PRETTY', 'maybe', 'LOG_PRETTY is neither true nor false. Set it: '],
  ['DEADLINE', 'soon', 'DEADLINE is not a duration such as 500ms, 2s, 15min, 24h or 30d. Set it: When.'],
])('%s=%s is refused in one line that names the variable and the remedy', (name, value, beginning) => {
  const error = refused({ [name]: value });
  expect(error.exitCode).toBe(78);
  expect(error.message.startsWith(beginning)).toBe(true);
  expect(error.message).not.toMatch(/\n|s3cret|undefined/);
});

test('the schema public may be named, as in the URLs of Prisma', () => {
  const DATABASE_URL = `${env.DATABASE_URL}?schema=public`;
  expect(loadConfig(schema, { ...env, DATABASE_URL }).DATABASE_URL).toBe(DATABASE_URL);
});

test('every wrong variable is named, each once', () => {
  const { message } = refused({ PORT: '-1', MESSAGE_BUS_URL: undefined });
  expect(message.match(/Set it/g)).toHaveLength(2);
  expect(message).toContain('PORT');
  expect(message).toContain('MESSAGE_BUS_URL');
});

test('every variable has a description', () => {
  for (const [name, variable] of Object.entries(schema.shape)) {
    expect((variable as z.ZodType).description, name).toBeTruthy();
  }
});

test('a scheme without an adapter is wrong configuration', async () => {
  const clock = new SystemClock();
  await expect(openEventStore('mysql://u:s3cret@h/d', clock)).rejects.toMatchObject({
    exitCode: 78,
    message: expect.stringMatching(/^EVENT_STORE_URL has the scheme mysql:\/\/, which has no adapter\. Use /),
  });
  await expect(openMessageBus('mysql://u:s3cret@h/d', { clock, log: silentLog })).rejects.toThrow(
    /^MESSAGE_BUS_URL .*mysql:/,
  );
});

test('passwords in URLs are masked', () => {
  expect(withoutPasswords('connect postgresql://larder:s3cret@db:5432/order and kafka://a:b@h')).toBe(
    'connect postgresql://larder:***@db:5432/order and kafka://a:***@h',
  );
});

test('a rate is so many requests in a time', () => {
  const read = (text: string) => loadConfig(schema, { ...env, RATE_LIMIT_PER_CALLER: text }).RATE_LIMIT_PER_CALLER;
  expect(read('')).toEqual({ requests: 200, perMs: 10_000 });
  expect(read('1/1h')).toEqual({ requests: 1, perMs: 3_600_000 });
  for (const wrong of ['200', '0/10s', '200/0s', '200/s', '200/500ms', '-1/10s', 'off', '1e3/10s', '200/10s/1s'])
    expect([wrong, refused({ RATE_LIMIT_PER_CALLER: wrong }).message]).toEqual([
      wrong,
      expect.stringContaining('is not a rate such as 200/10s. Set it: How many requests a caller'),
    ]);
  expect(refused({ RATE_LIMIT_PER_ADDRESS: '9/2h' }).message).toContain('is about more than an hour');
});

test('the names of the service, and the proxies before it, are lists', () => {
  const given = {
    ALLOWED_HOSTS: 'shop.example, api.shop.example',
    TRUSTED_PROXIES: '10.0.0.7,192.168.0.0/16,fd00::/8',
  };
  expect(loadConfig(schema, { ...env, ...given })).toMatchObject({
    ALLOWED_HOSTS: ['shop.example', 'api.shop.example'],
    TRUSTED_PROXIES: ['10.0.0.7', '192.168.0.0/16', 'fd00::/8'],
  });
  expect(loadConfig(schema, env)).toMatchObject({ ALLOWED_HOSTS: [], TRUSTED_PROXIES: [] });
  for (const wrong of ['https://shop.example', 'shop.example:443', '*.shop.example/', 'Shop.example', 'a,,b', 'a b'])
    expect([wrong, refused({ ALLOWED_HOSTS: wrong }).message]).toEqual([wrong, expect.stringContaining('host names')]);
  for (const wrong of ['proxy', '10.0.0.0/33', 'fd00::/129', '10.0.0.0/', '10.0.0.0/8/8', '0.0.0.0/0x1', '1,10.0.0.1'])
    expect([wrong, refused({ TRUSTED_PROXIES: wrong }).message]).toEqual([wrong, expect.stringContaining('networks')]);
});
