/**
 * Configuration: environment variables, checked once, before anything else starts. A service with wrong configuration
 * reports it in one line and ends with exit code 78. No value is ever printed: a URL may contain a password.
 */
import { readFileSync } from 'node:fs';
import { isIP, isIPv4 } from 'node:net';
import { z } from 'zod';

/** The service cannot start. Its message is one line that names the variable and the remedy. */
export class StartError extends Error {
  constructor(
    message: string,
    /** From sysexits.h: 78 (EX_CONFIG) for wrong configuration, 69 (EX_UNAVAILABLE) for an unreachable server. */
    readonly exitCode: 78 | 69,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'StartError';
  }
}

const UNIT_MS = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** The longest delay that a timer can hold is 2³¹ − 1 ms, some minutes more than this. */
const LONGEST_TIMER_DAYS = 24;

/**
 * A duration as people write it (`500ms`, `2s`, `15min`, `24h`, `30d`), parsed to milliseconds. One that no timer has to
 * hold may be longer than 24 days.
 */
export function duration({ longestDays = LONGEST_TIMER_DAYS } = {}) {
  return z
    .string()
    .regex(/^\d{1,10}(ms|s|min|h|d)$/, 'is not a duration such as 500ms, 2s, 15min, 24h or 30d')
    .transform((text) => Number.parseInt(text, 10) * UNIT_MS[text.replace(/\d/g, '') as keyof typeof UNIT_MS])
    .refine((ms) => ms <= longestDays * UNIT_MS.d, `is longer than ${longestDays} days`);
}

/** So many requests in such a time. */
export interface Rate {
  readonly requests: number;
  readonly perMs: number;
}

/** A rate as people write it, `200/10s`: so many requests in a duration of whole seconds, at most an hour. */
export function rate() {
  return z
    .string()
    .regex(/^[1-9]\d{0,8}\/[1-9]\d{0,3}(s|min|h)$/, 'is not a rate such as 200/10s')
    .transform((text): Rate => {
      const [requests, per] = text.split('/') as [string, string];
      return { requests: Number(requests), perMs: duration().parse(per) };
    })
    .refine(({ perMs }) => perMs <= UNIT_MS.h, 'is about more than an hour');
}

/** A TCP port; 0 takes a free one. */
export function tcpPort(fallback: number) {
  return z.coerce
    .number('is not a port')
    .int('is not a port')
    .min(0, 'is not a port')
    .max(65_535, 'is not a port')
    .default(fallback)
    .describe(`The TCP port of the HTTP server, from 0 to 65535 (0 takes a free one); by default ${fallback}`);
}

/** A URL as Prisma has them may name a schema. Nothing that connects here reads that: the tables would be elsewhere. */
const urlText = z.string().regex(/^(?!.*[?&]schema=(?!public(&|$)))/, 'names a schema other than public');

const url = urlText.regex(/^[a-z][a-z0-9+.-]*:\/\/./, 'is not a URL');

/**
 * The name of the issuer of tokens, which is also where it is found. Over plain HTTP anybody on the way could hand out keys
 * of their own, so that is for this machine and for the network of a compose file, where names have no dot.
 */
const issuer = z
  .string()
  .refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), {
    error: 'is not an https:// URL',
    abort: true,
  })
  .refine((text) => {
    const { protocol, hostname, search, hash } = new URL(text);
    const isNear = isLoopback(hostname) || /^[^.:]+$/.test(hostname);
    return (protocol === 'https:' || isNear) && search === '' && hash === '';
  }, 'is neither an https:// URL nor an http:// URL of this machine, without a query');

/** What is separated by commas, where each has to be what `isOne` says. */
function listOf(isOne: (text: string) => boolean, error: string) {
  return z
    .string()
    .transform((text) => text.split(',').map((each) => each.trim()))
    .refine((all) => all.every(isOne), error);
}

/** Origins as browsers send them, without a path: `https://shop.example,http://localhost:5173`. */
const origins = listOf(
  (text) => URL.canParse(text) && new URL(text).origin === text,
  'is not a list of origins such as https://shop.example,http://localhost:5173',
);

/** Names as they stand in URLs, in small letters: `shop.example,api.shop.example`. */
const hostNames = listOf(
  (text) => URL.canParse(`http://${text}`) && new URL(`http://${text}`).hostname === text,
  'is not a list of host names such as shop.example,api.shop.example',
);

/** Addresses, and networks in CIDR notation: `10.0.0.7,192.168.0.0/16`. */
const networks = listOf((text) => {
  const [address = '', bits = '0', ...more] = text.split('/');
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)]!;
  return more.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= most;
}, 'is not a list of addresses and networks such as 10.0.0.7,192.168.0.0/16');

/** The addresses of a service's instances, without a path: `http://10.0.0.7:3001,http://10.0.0.8:3001`. */
export function urls() {
  return listOf(
    (text) => /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text,
    'is not a list of URLs without a path, such as http://order:3001',
  );
}

/**
 * A secret of at least 16 characters; or two, separated by a comma, while one replaces the other: the first is used, and both
 * are accepted.
 */
export function secrets() {
  return z
    .string()
    .transform((text) => text.split(',').map((each) => each.trim()))
    .refine((all) => all.length <= 2, 'holds more than two secrets, which are separated by commas')
    .refine((all) => all.every((each) => each.length >= 16), 'holds a secret that is shorter than 16 characters')
    .refine((all) => new Set(all).size === all.length, 'holds the same secret twice');
}

/** Whether a host, of a URL too, is this machine alone: only its programs can reach a server that listens there. */
export function isLoopback(host: string): boolean {
  return /^(::1|\[::1\]|localhost)$/i.test(host) || (isIPv4(host) && host.startsWith('127.'));
}

/** The URL of a Postgres database. */
export function postgresUrl() {
  return urlText.refine((text) => /^postgres(ql)?:\/\//.test(text) && URL.canParse(text), 'is not a postgresql:// URL');
}

/** The variables of everything that answers HTTP: of the services, and of the gateway. */
export const httpConfig = z.object({
  HOST: z.string().default('127.0.0.1').describe('The address that the HTTP server listens on; 0.0.0.0 for all'),
  AUTH_ISSUER: issuer.describe(
    'The OpenID provider whose access tokens are accepted, exactly as they name it in `iss`: https://login.example.com/shop',
  ),
  AUTH_AUDIENCE: z.string().default('larder').describe('What `aud` of an access token has to name'),
  AUTH_ROLES_CLAIM: z
    .string()
    .default('roles')
    .describe('The claim with the roles of the caller; a dot leads into an object: realm_access.roles'),
  AUTH_TOKEN_TYPE: z
    .string()
    .default('at+jwt')
    .describe('What `typ` of an access token has to be; set it to JWT for a provider that does not follow RFC 9068'),
  CORS_ORIGINS: origins
    .optional()
    .describe('The origins whose pages may call the service from a browser, separated by commas; by default none'),
  ALLOWED_HOSTS: hostNames
    .default([])
    .describe(
      'The names under which the service is called, separated by commas, besides IP addresses, localhost and names without a dot',
    ),
  TRUSTED_PROXIES: networks
    .default([])
    .describe(
      'The addresses, or networks such as 10.0.0.0/8, of the proxies whose X-Forwarded-For says who calls, separated by commas; by default none',
    ),
  RATE_LIMIT_PER_CALLER: rate()
    .prefault('200/10s')
    .describe('How many requests a caller may send to all instances of the service, in how long'),
  RATE_LIMIT_PER_ADDRESS: rate()
    .prefault('1000/10s')
    .describe('How many requests without a valid access token an address may send to all of them, in how long'),
  LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'is not a log level')
    .default('info')
    .describe('The least important lines to log: trace, debug, info, warn, error, fatal or silent'),
  LOG_PRETTY: z
    .stringbool({ error: 'is neither true nor false' })
    .optional()
    .describe('Logs for people (true) or as JSON (false); by default for people on a terminal'),
  TROUBLE: z
    .stringbool({ error: 'is neither true nor false' })
    .default(false)
    .describe(
      'Whether operators may make things go wrong, at /admin/troubles and on a page of the console: for HOST on loopback. `npm start` sets it to true',
    ),
  REQUEST_TIMEOUT: duration()
    .prefault('1800ms')
    .describe('How long a request may take, in addition to the wait it asked for, before it is answered with 503'),
  READ_TIMEOUT: duration()
    .prefault('3s')
    .describe('How long a read waits for its read model to reach the Larder-Position that it was given'),
  START_TIMEOUT: duration()
    .prefault('30s')
    .describe('How long to wait at start for servers that cannot be reached yet'),
  DRAIN_TIME: duration()
    .prefault('0s')
    .describe(
      'How long requests are still taken after SIGTERM while /health/ready is 503, so that none is sent here any more',
    ),
  STOP_TIMEOUT: duration()
    .prefault('10s')
    .describe('How long a stop may take, after DRAIN_TIME, before the process ends regardless'),
});

export type HttpConfig = z.infer<typeof httpConfig> & { PORT: number };

/** The variables of every service; `defineService` adds the service's port and its own variables. */
export const baseConfig = httpConfig.extend({
  EVENT_STORE_URL: url.describe(
    "Where this service's events are stored: postgresql://user:password@localhost:5432/order or, in KurrentDB, kurrentdb://user:password@localhost:2113",
  ),
  MESSAGE_BUS_URL: url.describe(
    'Where services exchange messages: postgresql://user:password@localhost:5432/bus or, through Kafka, kafka://localhost:9092',
  ),
  DATABASE_URL: postgresUrl().describe(
    "The service's own Postgres database, for read models: postgresql://user:password@localhost:5432/order",
  ),
});

/** The configuration that every service has. */
export type BaseConfig = z.infer<typeof baseConfig> & { PORT: number };

/**
 * The schema of all that an application reads. `publicDefaults` are those of `variables` whose defaults everybody knows: with
 * one, it listens on loopback only.
 */
export function configOf<Base extends z.ZodRawShape, Variables extends z.ZodRawShape>(
  base: z.ZodObject<Base>,
  port: number,
  variables: Variables,
  publicDefaults: readonly (keyof Variables & string)[],
): z.ZodObject<Base & { readonly PORT: ReturnType<typeof tcpPort> } & Variables> {
  const schema = base.extend({ PORT: tcpPort(port), ...variables });
  const refined = schema.superRefine((given: Record<string, unknown>, context) => {
    if (isLoopback(given['HOST'] as string)) return;
    if (given['TROUBLE'] === true) {
      const message = 'is true while HOST is not an address of loopback';
      context.addIssue({ code: 'custom', path: ['TROUBLE'], message });
    }
    for (const each of publicDefaults) {
      // Of a list, none may be public.
      const known = textsOf((variables[each] as unknown as z.ZodType).parse(undefined));
      if (!textsOf(given[each]).some((text) => known.includes(text))) continue;
      const message = 'has its default, which everybody knows, while HOST is not an address of loopback';
      context.addIssue({ code: 'custom', path: [each], message });
    }
  });
  return refined as z.ZodObject<Base & { readonly PORT: ReturnType<typeof tcpPort> } & Variables>;
}

function textsOf(value: unknown): string[] {
  return [value].flat().map((each) => JSON.stringify(each));
}

/**
 * The configuration in `env`, typed. White space around a value is not part of it, an empty variable counts as missing, and
 * X_FILE names a file with the value of X.
 * @throws StartError (78) that names every wrong variable, what is wrong with it and what it is for
 */
export function loadConfig<S extends z.ZodObject>(schema: S, env: NodeJS.ProcessEnv = process.env): z.infer<S> {
  const given = readVariables(Object.keys(schema.shape), env);
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const names = new Set(parsed.error.issues.map((issue) => String(issue.path[0])));
  const lines = [...names].map((name) => {
    const issue = parsed.error.issues.find(({ path }) => path[0] === name);
    // What is wrong with the variables together concerns one with a default, too.
    const what = given[name] === undefined && issue?.code !== 'custom' ? 'is not set' : issue?.message;
    const about = (schema.shape[name] as z.ZodType | undefined)?.description;
    return `${name} ${what}. Set it: ${about ?? 'see the documentation'}.`;
  });
  throw new StartError(lines.join(' '), 78);
}

/**
 * The variables of these names in `env`, without white space around them: X itself or, as containers are given secrets, the
 * content of the file whose path is in X_FILE.
 * @throws StartError (78) that names every variable that is given twice, or whose file has no value
 */
export function readVariables<Name extends string>(
  names: readonly Name[],
  env: NodeJS.ProcessEnv = process.env,
): Partial<Record<Name, string>> {
  const given: Partial<Record<Name, string>> = {};
  const wrong: string[] = [];
  for (const name of names) {
    const [value, path] = [env[name]?.trim(), env[`${name}_FILE`]?.trim()];
    if (value && path) wrong.push(`${name} and ${name}_FILE are both set. Remove one of them.`);
    else if (path) {
      const file = readFile(path);
      if ('value' in file) given[name] = file.value;
      else
        wrong.push(
          `${name}_FILE names a file that ${file.problem}. Set it to the path of one with the value of ${name}.`,
        );
    } else if (value) given[name] = value;
  }
  if (wrong.length > 0) throw new StartError(wrong.join(' '), 78);
  return given;
}

/** By the error of `readFileSync`. The path is not repeated: it may be a secret that was put into the wrong variable. */
const FILE_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EACCES: 'may not be read',
  EPERM: 'may not be read',
  EISDIR: 'is a folder',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'is not text in UTF-8',
};

function readFile(path: string): { readonly value: string } | { readonly problem: string } {
  try {
    const value = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path)).trim();
    return value === '' ? { problem: 'is empty' } : { value };
  } catch (error) {
    const { code = 'unknown error' } = error as { code?: string };
    return { problem: FILE_PROBLEMS[code] ?? `cannot be read (${code})` };
  }
}

/** `postgresql://user:secret@host` becomes `postgresql://user:***@host`. */
export function withoutPasswords(text: string): string {
  return text.replace(/(\w:\/\/[^:@/\s]*):[^@/\s]*@/g, '$1:***@');
}
