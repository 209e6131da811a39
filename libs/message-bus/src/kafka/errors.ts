/** Translates kafkajs's errors for callers that do not know Kafka. */
import { ServerRefusal, ServerUnavailable } from '#runtime';

/** Causes that waiting does not fix, by the `type` of Kafka's protocol or the `code` of Node's TLS. */
const REFUSALS: readonly [RegExp, string][] = [
  [/^SASL_AUTHENTICATION_FAILED$|KafkaJSSASLAuthenticationError/, 'Correct the user, the password or the mechanism.'],
  [/_AUTHORIZATION_FAILED$/, 'Give the user the right to it (an ACL).'],
  [
    /CERT|UNABLE_TO_(VERIFY|GET)|^ERR_TLS/,
    'Name the authority that signed the certificate of the brokers with ?ca=, or correct the certificate.',
  ],
  [/^(EPROTO$|ERR_SSL)/, 'Is this a TLS listener? kafkas:// is for TLS, kafka:// is without.'],
];

/** The error as a ServerRefusal or a ServerUnavailable; errors that are not Kafka's are returned unchanged. */
export function translateError(error: unknown): unknown {
  if (error instanceof ServerRefusal || error instanceof ServerUnavailable) return error;
  if (!(error instanceof Error) || !error.name.startsWith('KafkaJS')) return error;
  const signs = signsOf(error);
  for (const [pattern, remedy] of REFUSALS) {
    if (signs.some((sign) => pattern.test(sign))) {
      return new ServerRefusal(`Kafka refuses us (${reasonOf(error)}). ${remedy}`, { cause: error });
    }
  }
  return new ServerUnavailable(`Kafka does not answer as it should (${reasonOf(error)}).`, { cause: error });
}

/** The protocol's name of an error: `UNKNOWN_MEMBER_ID`. */
export function typeOf(error: unknown): string | undefined {
  for (const each of causesOf(error)) {
    if ('type' in each && typeof each.type === 'string') return each.type;
  }
  return undefined;
}

/** An error, what caused it, what caused that, and so on. */
function* causesOf(error: unknown): Iterable<Error> {
  for (let each = error; each instanceof Error; each = each.cause) yield each;
}

function signsOf(error: unknown): string[] {
  return [...causesOf(error)].flatMap((each) => {
    const { name, type, code } = each as Error & { type?: unknown; code?: unknown };
    return [name, ...[type, code].filter((sign) => typeof sign === 'string')];
  });
}

/** The message in one line, without a full stop. */
function reasonOf({ message }: Error): string {
  return message.replace(/\s+/g, ' ').replace(/\.$/, '');
}
