/** Injection tokens of what has no class: the ports, the service's configuration, and the pool of DATABASE_URL. */
export const PORTS = Symbol('PORTS');
export const CONFIG = Symbol('CONFIG');
export const DATABASE = Symbol('DATABASE');
