/** What no broker of ours writes; the rest is read from a real one, in message-bus.spec.ts. */
import { CompressionCodecs, CompressionTypes } from 'kafkajs';
import { compress } from 'snappyjs';
import { beforeAll, expect, test } from 'vitest';
import { readEveryCompression } from './codecs.js';

beforeAll(readEveryCompression);

const decompress = (type: Exclude<CompressionTypes, CompressionTypes.None>, records: Buffer): Promise<Buffer> =>
  CompressionCodecs[type]().decompress(records);

test('a single block of Snappy, without a frame, is read', async () => {
  const records = Buffer.from('records, records, records');
  expect(await decompress(CompressionTypes.Snappy, compress(records))).toEqual(records);
});

test.for([
  ['snappy', CompressionTypes.Snappy],
  ['lz4', CompressionTypes.LZ4],
  ['zstd', CompressionTypes.ZSTD],
] as const)('what is no %s is named, and not taken for records', async ([name, type]) => {
  for (const records of [
    Buffer.from('no records'),
    Buffer.from('\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\xff\xff', 'latin1'),
  ]) {
    await expect(decompress(type, records)).rejects.toThrow(
      `A batch of records, compressed with ${name}, cannot be read`,
    );
  }
});
