/**
 * The address of a Kafka cluster and our credentials, in one URL:
 *
 *   kafka://host:port,host:port
 *   kafkas://user:password@host:port?mechanism=scram-sha-512&ca=/etc/ca.pem&cert=/etc/client.pem&key=/etc/client.key
 *
 * `kafkas` is for TLS. A user and a password (percent-encoded) mean SASL, by default with SCRAM-SHA-512. `ca` is the
 * authority that signed the brokers' certificates, by default the system's own; `cert` and `key` are our client
 * certificate. Files are PEM.
 */
import { readFileSync } from 'node:fs';
import type { KafkaConfig } from 'kafkajs';
import { ServerRefusal } from '#runtime';

const MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const;
const PARAMETERS = ['mechanism', 'ca', 'cert', 'key'] as const;

/** @throws ServerRefusal that names what is wrong with the URL, and never its password */
export function connectionOf(url: string): Pick<KafkaConfig, 'brokers' | 'ssl' | 'sasl'> {
  const parts = /^(kafkas?):\/\/(?:([^@/?]*)@)?([^/?#]+)\/?(?:\?([^#]*))?$/.exec(url);
  if (!parts) throw new ServerRefusal('This is no URL such as kafka://host:9092,host:9092. Correct it.');
  const [, scheme, credentials, hosts, query] = parts;
  const options = new URLSearchParams(query);
  for (const name of options.keys()) {
    if (!PARAMETERS.some((known) => known === name)) {
      throw new ServerRefusal(`The URL has the parameter "${name}". There are ${PARAMETERS.join(', ')}.`);
    }
  }
  const secure = scheme === 'kafkas';
  const files = (['ca', 'cert', 'key'] as const).filter((name) => options.has(name));
  if (!secure && files.length > 0) {
    throw new ServerRefusal(`The URL has the parameter "${files[0]}", which is for TLS. Write kafkas:// before it.`);
  }
  if (options.has('cert') !== options.has('key')) {
    throw new ServerRefusal('The URL has one of "cert" and "key". A client certificate needs both.');
  }
  const pem = Object.fromEntries(files.map((name) => [name, fileOf(name, options.get(name)!)]));
  return {
    brokers: hosts!.split(',').map(addressOf),
    ...(secure ? { ssl: { rejectUnauthorized: true, ...pem } } : {}),
    ...(credentials === undefined ? {} : { sasl: saslOf(credentials, options.get('mechanism')) }),
  };
}

function addressOf(host: string): string {
  const [, name, port = '9092'] = /^([^\s]+?)(?::(\d{1,5}))?$/.exec(host.trim()) ?? [];
  if (!name || Number(port) < 1 || Number(port) > 65_535) {
    throw new ServerRefusal(`The URL names "${host}", which is no host:port.`);
  }
  if (name.includes(':')) {
    throw new ServerRefusal(
      `The URL names "${host}", an IPv6 address, which the Kafka client cannot read. Give its name.`,
    );
  }
  return `${name}:${port}`;
}

function fileOf(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ServerRefusal(`The file ${path}, which the URL gives as "${name}", cannot be read (${code}).`, { cause });
  }
}

function saslOf(credentials: string, mechanism: string | null): KafkaConfig['sasl'] {
  const chosen = MECHANISMS.find((known) => known === (mechanism ?? 'scram-sha-512').toLowerCase());
  if (!chosen) throw new ServerRefusal(`The URL has an unknown mechanism. There are ${MECHANISMS.join(', ')}.`);
  const [username, password] = credentials.split(/:(.*)/s).map(decode);
  if (!username || !password) {
    throw new ServerRefusal('The URL has a user without a password, or a password without a user. Give both.');
  }
  return { mechanism: chosen, username, password } as KafkaConfig['sasl'];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new ServerRefusal('The user or the password in the URL is not percent-encoded: a lone % is written %25.');
  }
}
