/**
 * `npm run reconcile`: compares everything that the shop has recorded about every order, and reports what disagrees. For a
 * healthy shop it prints nothing and exits with 0, also while the shop is open; see lib/reconcile/reconcile.ts. It only reads.
 */
import { SystemClock } from '#runtime';
import { databasesOfTheShop } from './lib/databases.js';
import { count, type Output, progressBar } from './lib/progress-bar.js';
import { openBooks } from './lib/reconcile/open-books.js';
import { type Books, reconcile } from './lib/reconcile/reconcile.js';

export const usage =
  'npm run reconcile [-- --json]. With --json, each disagreement is a line of JSON instead of a sentence.';

/** The books could not be read completely (EX_UNAVAILABLE of sysexits.h): whether the shop is healthy is not known. */
const UNAVAILABLE = 69;

export async function main(argv: readonly string[]): Promise<void> {
  process.stdout.on('error', () => process.exit(1)); // `| head`: the reader has closed the pipe.
  process.exitCode = await run(argv, async () => openBooks(await databasesOfTheShop(), new SystemClock()), process);
}

/** Returns the exit code: 0 when everything agrees, 1 when something does not, 2 for wrong flags, 69 when the books cannot be read. */
export async function run(
  argv: readonly string[],
  open: () => Promise<{ readonly books: Books; readonly close: () => Promise<void> }>,
  { stdout, stderr }: Output,
): Promise<number> {
  const json = argv.length === 1 && argv[0] === '--json';
  if (argv.length > 0 && !json) {
    stderr.write(`Usage: ${usage}\n`);
    return 2;
  }
  const clock = new SystemClock();
  const bar = stderr.isTTY ? progressBar(clock, stderr, 'order') : undefined;
  let findings = 0;
  let orders = 0;
  try {
    const { books, close } = await open();
    try {
      const onProgress = (progress: { share: number; orders: number }) => {
        orders = progress.orders;
        bar?.show({ share: progress.share, done: orders });
      };
      for await (const finding of reconcile(books, { clock, onProgress })) {
        findings++;
        bar?.end();
        stdout.write(`${json ? JSON.stringify(finding) : finding.message}\n`);
      }
    } finally {
      await close();
    }
  } catch (error) {
    bar?.end();
    stderr.write(`The books could not be compared. ${(error as Error).message}\n`);
    return UNAVAILABLE;
  }
  bar?.end();
  if (bar)
    stderr.write(
      `${count(orders, 'order')}: ${findings === 0 ? 'everything agrees' : count(findings, 'disagreement')}.\n`,
    );
  return findings === 0 ? 0 : 1;
}
