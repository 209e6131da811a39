/** An error whose message is all that a person needs: it is printed as one line, without a stack. */
export class Advice extends Error {
  override readonly name = 'Advice';
}
