// The `lepton` command's entry point: runs one command and ends the process with its code. The only place that ends it.
import { CommanderError } from 'commander';
import { describeError, EXIT, exitCodeOf } from './errors.ts';
import { createProgram } from './program.ts';

async function main(argv: readonly string[]): Promise<number> {
  const outcome = { exitCode: EXIT.done as number };
  try {
    await createProgram(outcome).parseAsync([...argv]);
    return outcome.exitCode;
  } catch (error) {
    // commander has said what is wrong; help and version are no errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.refused;
    process.stderr.write(`lepton: ${describeError(error, process.env['LEPTON_DEBUG'] === '1')}\n`);
    return exitCodeOf(error);
  }
}

// A reader that closes the pipe early (`lepton inspect | head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done);
    process.exit(EXIT.failed);
  });
}
process.exit(await main(process.argv));
