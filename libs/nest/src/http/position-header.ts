export const POSITION_HEADER = 'Larder-Position';

/** `order:4711` */
export function formatPosition(service: string, position: bigint): string {
  return `${service}:${position}`;
}
