import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { opener, readVariables, sealer } from '#service';
import { shop } from '../../apps/shop.js';
import { deleteData, keepTokenKeys } from './data-folder.js';

let data: string;
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), 'larder-data-'));
});
afterEach(() => rmSync(data, { recursive: true, force: true }));

const { PAYMENT_TOKEN_KEY, TOKEN_DIGEST_SECRET } = shop.order.config.shape;
const { PAYMENT_TOKEN_KEYS } = shop.payment.config.shape;

test('the keys of payment tokens are made once, fit each other and the services, and are the owner’s alone', () => {
  writeFileSync(join(data, 'other'), '');
  mkdirSync(join(data, 'keys.new')); // Left by a start that was killed.
  const { order, payment } = keepTokenKeys(data);
  const given = readVariables(['PAYMENT_TOKEN_KEY', 'TOKEN_DIGEST_SECRET', 'PAYMENT_TOKEN_KEYS'], {
    ...order,
    ...payment,
  });
  const sealed = sealer(PAYMENT_TOKEN_KEY.parse(given.PAYMENT_TOKEN_KEY))('tok', 'o1');
  expect(opener(PAYMENT_TOKEN_KEYS.parse(given.PAYMENT_TOKEN_KEYS))(sealed, 'o1')).toBe('tok');
  expect(TOKEN_DIGEST_SECRET.parse(given.TOKEN_DIGEST_SECRET)).toHaveLength(1);
  if (process.platform !== 'win32') {
    expect(statSync(join(data, 'keys')).mode & 0o777).toBe(0o700);
    for (const path of Object.values({ ...order, ...payment })) expect(statSync(path).mode & 0o777).toBe(0o600);
  }

  const file = payment!['PAYMENT_TOKEN_KEYS_FILE']!;
  const before = readFileSync(file, 'utf8');
  expect(keepTokenKeys(data)).toEqual({ order, payment });
  expect(readFileSync(file, 'utf8')).toBe(before);

  expect(deleteData(data)).toEqual([]);
  keepTokenKeys(data);
  expect(readFileSync(file, 'utf8')).not.toBe(before);
});
