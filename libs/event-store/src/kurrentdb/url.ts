/**
 * The URL of the event store when it is KurrentDB's:
 * `kurrentdb://user:password@host:2113,host:2113?tlsCAFile=/etc/ssl/ca.pem`, or `kurrentdb+discover://` for one DNS name
 * of a whole cluster. Without `tls=false` the connection is encrypted.
 */
import { ServerRefusal } from '#runtime';

/** The parameters that the client knows. It would only warn of others, on the console and with the whole URL, password included. */
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
 * @throws ServerRefusal that states what is wrong with the URL, and never its password
 */
export function connectionString(url: string): string {
  const { discover = '', place, query = '' } = CONNECTION_STRING.exec(url.trim())?.groups ?? {};
  if (place === undefined) throw malformedUrl();
  for (const parameter of query.split('&').filter(Boolean)) {
    const [name = '', value = ''] = parameter.split('=');
    const known = PARAMETERS.find((each) => normalize(each) === normalize(name));
    if (!known) {
      throw new ServerRefusal(
        `The URL has the unknown parameter "${name}". The known ones are ${PARAMETERS.join(', ')}.`,
      );
    }
    if (known === 'throwOnAppendFailure' && value !== 'true') {
      throw new ServerRefusal('The URL has throwOnAppendFailure=false, which hides refused appends. Remove it.');
    }
    if (known === 'nodePreference' && normalize(value) !== 'leader') {
      throw new ServerRefusal(
        `The URL has nodePreference=${value}. Remove it: only the leader can read all that it has acknowledged.`,
      );
    }
  }
  return `kurrentdb${discover}://${place}${query && `?${query}`}`;
}

/** For errors that only the client finds. Its message may contain a part of the URL, so nothing of it is repeated. */
export function malformedUrl(): ServerRefusal {
  return new ServerRefusal(
    'KurrentDB does not understand the URL, which looks like kurrentdb://user:password@host:2113. ' +
      'Correct it; in the user and the password, percent-encode what is neither a letter nor a digit.',
  );
}

/** A parameter's name as the client compares it. */
function normalize(name: string): string {
  return name.trim().toLowerCase().replace(/[_-]/g, '');
}
