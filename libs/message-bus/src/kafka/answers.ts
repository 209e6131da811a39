import type { Socket } from 'node:net';
import { endOnNonsense } from '#runtime';

/** An answer begins with its length in bytes, a signed 32-bit integer: https://kafka.apache.org/protocol#protocol_common */
const LENGTH_BYTES = 4;

/** And goes on with the number of its request, of four bytes as well. */
const SHORTEST = 4;

/** Far more than a broker sends: a fetch of many partitions is limited to 10 MiB and the largest of its records. */
const LONGEST = 2 ** 28;

/**
 * Makes a socket report whole answers of Kafka, one per `data` event, and returns it. kafkajs keeps the beginning of one
 * whose connection ended, takes what the next connection brings for the rest of it, and then throws outside of any promise,
 * which ends the process (https://github.com/tulios/kafkajs/issues/715). Here the beginning goes with its socket, and what
 * is no answer, or cannot be read, ends the connection.
 */
export function deliverWholeAnswers(socket: Socket): Socket {
  let chunks: Buffer[] = [];
  let bytes = 0;
  let needed = LENGTH_BYTES;
  endOnNonsense(socket, (chunk, deliver) => {
    chunks.push(chunk);
    bytes += chunk.length;
    while (bytes >= needed && !socket.destroyed) {
      const all = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
      const length = all.readInt32BE();
      if (length < SHORTEST || length > LONGEST) throw new Error('The broker sent something else than an answer.');
      const end = LENGTH_BYTES + length;
      const isWhole = bytes >= end;
      chunks = [isWhole ? all.subarray(end) : all];
      bytes = chunks[0]!.length;
      needed = isWhole ? LENGTH_BYTES : end;
      if (isWhole) deliver(all.subarray(0, end));
    }
  });
  return socket;
}
