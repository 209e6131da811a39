/**
 * The compressions that a topic's records can have. We send none, but a topic or the brokers may be configured to compress
 * what they are sent (`compression.type`), and other producers may. kafkajs reads gzip by itself.
 */
import { decompress as decompressZstd } from 'fzstd';
import kafkajs from 'kafkajs';
import { decompress as decompressLz4 } from 'lz4js';
import { uncompress as decompressSnappyBlock } from 'snappyjs';

// Node does not see these exports of a CommonJS module by their names.
const { CompressionCodecs, CompressionTypes } = kafkajs;

/** For all clients of this process. */
export function readEveryCompression(): void {
  CompressionCodecs[CompressionTypes.Snappy] = reader('snappy', decompressSnappy);
  CompressionCodecs[CompressionTypes.LZ4] = reader('lz4', (records) => Buffer.from(decompressLz4(records)));
  CompressionCodecs[CompressionTypes.ZSTD] = reader('zstd', (records) => Buffer.from(decompressZstd(records)));
}

/** A codec as kafkajs takes it. */
function reader(name: string, decompress: (records: Buffer) => Buffer) {
  const compress = () => Promise.reject(new Error('Nothing that we send is compressed.'));
  return () => ({
    compress,
    decompress: async (records: Buffer) => {
      try {
        return decompress(records);
      } catch (cause) {
        throw new Error(`A batch of records, compressed with ${name}, cannot be read: ${(cause as Error).message}.`, {
          cause,
        });
      }
    },
  });
}

/** What Java's producers and the brokers write before blocks of Snappy, each of which follows its length. */
const XERIAL = Buffer.from('\x82SNAPPY\0', 'latin1');
/** With two version numbers. */
const XERIAL_HEADER_BYTES = XERIAL.length + 8;

/** Other producers (librdkafka) write a single block without a frame. */
function decompressSnappy(records: Buffer): Buffer {
  if (!records.subarray(0, XERIAL.length).equals(XERIAL)) return decompressSnappyBlock(records);
  const blocks: Buffer[] = [];
  for (let at = XERIAL_HEADER_BYTES; at < records.length;) {
    const end = at + 4 + records.readInt32BE(at);
    blocks.push(decompressSnappyBlock(records.subarray(at + 4, end)));
    at = end;
  }
  return Buffer.concat(blocks);
}
