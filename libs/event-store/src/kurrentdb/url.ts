/**
 * What a URL of the event store may say when it is for KurrentDB:
 * `kurrentdb://user:password@host:2113,host:2113?tlsCAFile=/etc/ssl/ca.pem`, or `kurrentdb+discover://` for one DNS name
 * of a whole cluster. Without `tls=false` the connection is encrypted.
 */
import { ServerRefusal } from '#runtime';

/** What the client knows. It would only warn of others, on the console and with the whole URL, password included. */
const PARAMETERS = [
  'connectionName',
  'defaultDeadline',
  'discoveryInterval',
  'gossipTimeout',
  'keepAliveInterval',
  'keepAliveTimeout',
  'maxDiscoverAttempts',
  'nodePreference',
  'throwOnAppendFailure',
  'tls',
  'tlsCAFile',
  'tlsVerifyCert',
  'userCertFile',
  'userKeyFile',
];

const CONNECTION_STRING =
  /^(?:kurrentdb|esdb)(?<discover>\+discover)?:\/\/(?<place>(?:[^:@/?\s]+:[^:@/?\s]+@)?[^@/?\s]+)\/?(?:\?(?<query>\S*))?$/;

/**
 * The same as a connection string for the client, with `kurrentdb` in place of the older `esdb`.
 * @throws ServerRefusal that says what is wrong with the URL, and never its password
 */
export function connectionString(url: string): string {
  const { discover = '', place, query = '' } = CONNECTION_STRING.exec(url.trim())?.groups ?? {};
  if (place === undefined) throw notUnderstood();
  for (const parameter of query.split('&').filter(Boolean)) {
    const [name = '', value = ''] = parameter.split('=');
    const known = PARAMETERS.find((each) => flat(each) === flat(name));
    if (!known) {
      throw new ServerRefusal(`The URL has the parameter "${name}". There are ${PARAMETERS.join(', ')}.`);
    }
    if (known === 'throwOnAppendFailure' && value !== 'true') {
      throw new ServerRefusal('The URL has throwOnAppendFailure=false, which hides refused appends. Take it out.');
    }
    if (known === 'nodePreference' && flat(value) !== 'leader') {
      throw new ServerRefusal(
        `The URL has nodePreference=${value}. Take it out: only the leader has read what it has acknowledged.`,
      );
    }
  }
  return `kurrentdb${discover}://${place}${query && `?${query}`}`;
}

/** For what only the client notices. Its own message may hold a part of the URL, so nothing of it is repeated. */
export function notUnderstood(): ServerRefusal {
  return new ServerRefusal(
    'The URL is none that KurrentDB understands, such as kurrentdb://user:password@host:2113. ' +
      'Correct it; in the user and the password, percent-encode what is neither letter nor digit.',
  );
}

/** As the client compares the names of parameters. */
function flat(name: string): string {
  return name.trim().toLowerCase().replace(/[_-]/g, '');
}
