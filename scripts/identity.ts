/**
 * `npm run identity`: the OpenID provider for development, alone: for compose, and for services that are started one by one.
 * `npm start` opens it by itself.
 *
 *   keys ─▶ open ─▶ header files, renewed ─▶ … ─▶ Ctrl-C: closed, its keys are kept
 */
import { SystemClock } from '#runtime';
import { accountNames } from './lib/accounts.js';
import { isLoopback } from '#service';
import { dataFolder, portOf, shortPath } from './lib/addresses.js';
import { Advice } from './lib/advice.js';
import { readCommandLine } from './lib/command-line.js';
import { headersIn, identityIn } from './lib/data-folder.js';
import { openProvider } from './lib/openid-provider.js';
import { rotateKeys } from './lib/signing-keys.js';

const clock = new SystemClock();

export const usage =
  'npm run identity [-- --rotate]. With --rotate it makes a new signing key, which an open provider takes over. Variables change it: LARDER_DATA, IDENTITY_PORT, HOST, AUTH_ISSUER, GATEWAY_CLIENT_SECRET.';

export async function main(argv: readonly string[]): Promise<void> {
  const syntax = { usage, options: { rotate: { type: 'boolean' } } } as const;
  const rotate = readCommandLine(argv, syntax, process, ({ values }) => values.rotate ?? false);
  if (rotate === undefined) process.exit(2);
  await (rotate ? rotateNow() : runUntilStopped());
}

async function rotateNow(): Promise<void> {
  const signsFrom = await rotateKeys(identityIn(dataFolder()), clock);
  console.log(
    `A new key signs from ${signsFrom.toISOString()} on. One before stays published until its tokens expire.`,
  );
}

async function runUntilStopped(): Promise<void> {
  const stopped = new Promise((stop) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
  });
  const data = dataFolder();
  const provider = await openProvider({
    data,
    port: portOf('identity'),
    ...addressesIn(process.env),
    gatewaySecret: process.env['GATEWAY_CLIENT_SECRET']?.trim(),
    clock,
    warn: (complaint) => console.error(complaint),
  });
  const files = `${shortPath(headersIn(data))}/<account>`;
  console.log(`The OpenID provider is open: ${provider.issuer}, for development only.
Header files for curl are ${files}, for ${accountNames.join(', ')}.`);
  await stopped;
  await provider.close();
  console.log('Closed. Its keys are kept.');
  process.exit(0);
}

/**
 * Where it listens, and what its tokens are issued by. It asks for no password, so others must not reach it: it listens on
 * this machine only, or in a network of containers, where hosts have names without a dot.
 * @throws Advice when the variables say something else
 */
export function addressesIn(env: NodeJS.ProcessEnv): { readonly host?: string; readonly issuer?: string } {
  const issuer = env['AUTH_ISSUER']?.trim();
  const host = env['HOST']?.trim();
  const url = issuer && URL.canParse(issuer) ? new URL(issuer) : undefined;
  const isContainer = url !== undefined && /^[^.:]+$/.test(url.hostname) && url.hostname !== 'localhost';
  if (issuer && !(url?.protocol === 'http:' && url.origin === issuer && (isContainer || isLoopback(url.hostname))))
    throw new Advice(
      `AUTH_ISSUER=${issuer} is not a name that this provider can have. Unset it, or set it to one like http://identity:3000, of a network of containers.`,
    );
  if (host && !isLoopback(host) && !isContainer)
    throw new Advice(
      `HOST=${host} would let others reach this provider, which asks for no password. Unset it; in a network of containers, set AUTH_ISSUER to the name that it has there, like http://identity:3000.`,
    );
  return { ...(host && { host }), ...(issuer && { issuer }) };
}
