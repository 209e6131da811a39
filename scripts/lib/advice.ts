/** An error whose message is advice to the user: the commands print it as one line, without a stack. */
export class Advice extends Error {
  override readonly name = 'Advice';
}
