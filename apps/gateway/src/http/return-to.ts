/** Where a login leads back to: a path of the gateway's own, so that no link to /login ends at another site. */

const MAX_LENGTH = 1_000;

/** `returnTo` as it is safe in a Location header; `/` when it is none. */
export function returnPath(returnTo: unknown): string {
  // Browsers leave out tabs and line breaks, and so may lead elsewhere than it seems.
  if (typeof returnTo !== 'string' || returnTo.length > MAX_LENGTH || !/^\/[^\p{Cc}\s]*$/u.test(returnTo)) return '/';
  const base = 'http://gateway';
  if (!URL.canParse(returnTo, base)) return '/';
  const { origin, pathname, search, hash } = new URL(returnTo, base);
  // `/.//evil.example` is `//evil.example` then. What is encoded, a proxy may decode.
  const isOwn = origin === base && !/\/\/|%2f|%5c/i.test(pathname);
  return isOwn ? `${pathname}${search}${hash}` : '/';
}

export const loginAt = (returnTo: string) => `/login?returnTo=${encodeURIComponent(returnTo)}`;
