/** Which page is shown, by the address of the browser. */
import { computed, signal } from '@preact/signals';

const address = signal(location.pathname + location.search);

export const path = computed(() => address.value.split('?', 1)[0]!);
export const query = computed(() => new URLSearchParams(address.value.slice(path.value.length)));

/** Whether `pathname` is a page of the console; all else at this origin is the API's, or the login's. */
const isPage = (pathname: string) => pathname === '/' || pathname.startsWith('/console/');

/** Shows another page, as if a link to it had been followed. */
export function goTo(url: string): void {
  history.pushState(null, '', url);
  follow();
  scrollTo(0, 0);
}

/** Links are plain links: this only keeps the browser from loading the whole page again. */
export function watchAddress(): void {
  addEventListener('popstate', follow);
  document.addEventListener('click', (event) => {
    const link = (event.target as Element).closest('a');
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || event.defaultPrevented || link.target || link.hasAttribute('download')) return;
    if (link.origin !== location.origin || !isPage(link.pathname) || link.hash) return;
    event.preventDefault();
    goTo(link.href);
  });
}

function follow(): void {
  address.value = location.pathname + location.search;
}
