/** An error whose message tells the user what to do: the commands print it as one line, without a stack. */
export class Advice extends Error {
  override readonly name = 'Advice';
}
