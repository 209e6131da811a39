export const POSITION_HEADER = 'Larder-Position';

/** What an answer surely shows; its Larder-Position may be beyond that. */
export const PROVES_HEADER = 'Larder-Proves';

/** `order:4711` */
export function formatPosition(service: string, position: bigint): string {
  return `${service}:${position}`;
}
