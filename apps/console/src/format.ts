/** Values as people read them. */

interface Money {
  readonly amountMinor: number;
  readonly currency: string;
}

export function money({ amountMinor, currency }: Money): string {
  const format = new Intl.NumberFormat('en-GB', { style: 'currency', currency });
  return format.format(amountMinor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

/** `olive-oil` is called Olive oil, `stock-reserved` Stock reserved. */
export function words(name: string): string {
  const spaced = name.replaceAll('-', ' ');
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

const clock = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
});
const second = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

/** To the millisecond. */
export const timeOf = (at: string): string => clock.format(Date.parse(at));
/** To the second, by the clock of this browser. */
export const secondOf = (atMs: number): string => second.format(atMs);
/** To the minute, with the day. */
export const dayOf = (at: string): string => day.format(Date.parse(at));

const UNITS: readonly [ms: number, unit: string][] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
];

/** `41 ms`, `1.4 s`, `12 min`. */
export function duration(ms: number): string {
  const [unitMs, unit] = UNITS.find(([unitMs]) => ms >= unitMs) ?? [1, 'ms'];
  const count = ms / unitMs;
  return `${count < 10 && unit !== 'ms' ? Number(count.toFixed(1)) : Math.round(count)} ${unit}`;
}

/** `35ae42d2`: enough to tell one from another by eye. */
export const short = (id: string): string => id.slice(0, 8);
