/** What can be wrong with a server that we need, whichever driver speaks to it. Adapters throw these for their drivers. */

/** It does not answer, is starting, or cut us off: trying again later may help. */
export class ServerUnavailable extends Error {
  override readonly name = 'ServerUnavailable';
}

/**
 * It answers, and cannot serve us as it is: wrong credentials, a missing topic, a version that is too old. Only a person
 * can mend that, so the message says in one line what is wrong and what to do.
 */
export class ServerRefusal extends Error {
  override readonly name = 'ServerRefusal';
}
