import { hostname } from 'node:os';

/** What others call this instance: its machine, or container, and its port. No longer than a name that Postgres shows. */
export const instanceName = ({ PORT }: { readonly PORT: number }): string => `${hostname()}:${PORT}`.slice(-45);
