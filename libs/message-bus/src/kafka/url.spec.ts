import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectionOf } from './url.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'larder-kafka-url-'));
  for (const name of ['ca', 'cert', 'key']) writeFileSync(join(folder, `${name}.pem`), `the ${name}`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('several brokers, by default at port 9092', () => {
  expect(connectionOf('kafka://one:9093,two')).toEqual({ brokers: ['one:9093', 'two:9092'] });
});

test('kafkas is TLS, with the authorities that the system trusts', () => {
  expect(connectionOf('kafkas://one:9093')).toEqual({ brokers: ['one:9093'], ssl: { rejectUnauthorized: true } });
});

test('certificates are read from their files', () => {
  const files = ['ca', 'cert', 'key'].map((name) => `${name}=${encodeURIComponent(join(folder, `${name}.pem`))}`);
  expect(connectionOf(`kafkas://one:9093?${files.join('&')}`).ssl).toEqual({
    rejectUnauthorized: true,
    ca: 'the ca',
    cert: 'the cert',
    key: 'the key',
  });
});

test('a user and a password mean SCRAM-SHA-512, unless another mechanism is named', () => {
  const sasl = { mechanism: 'scram-sha-512', username: 'larder', password: 'p@:%?' };
  expect(connectionOf('kafka://larder:p%40:%25%3F@one').sasl).toEqual(sasl);
  expect(connectionOf('kafka://larder:p%40:%25%3F@one?mechanism=PLAIN').sasl).toEqual({ ...sasl, mechanism: 'plain' });
});

test.for([
  ['kafka://', 'no URL such as kafka://host:9092'],
  ['kafka://a b:1', 'no host:port'],
  ['kafka://one:9092,', 'no host:port'],
  ['kafka://one:9092,two:99999', '"two:99999", which is no host:port'],
  ['kafka://one,[::1]:9093', '"[::1]:9093", an IPv6 address'], // tulios/kafkajs#1589
  ['kafka://2001:db8::7', '"2001:db8::7", an IPv6 address'],
  ['kafka://one?sasl=plain', '"sasl". There are mechanism, ca, cert, key'],
  ['kafka://one?ca=x.pem', 'kafkas://'],
  ['kafkas://one?cert=x.pem', 'needs both'],
  ['kafkas://one?ca=/nowhere/ca.pem', '/nowhere/ca.pem, which the URL gives as "ca", cannot be read (ENOENT)'],
  ['kafka://larder:s3cret@one?mechanism=gssapi', 'unknown mechanism'],
  ['kafka://larder@one', 'Give both'],
  ['kafka://:s3cret@one', 'Give both'],
  ['kafka://larder:s3cret%@one', '%25'],
])('%s is refused in one line, without its password', ([url, why]) => {
  expect(() => connectionOf(url!)).toThrow(
    expect.objectContaining({
      name: 'ServerRefusal',
      message: expect.toSatisfy((message: string) => message.includes(why!) && !/\n|s3cret/.test(message)),
    }),
  );
});
