// What an action tells the command line about its end.

/** Where an action leaves the exit code of a command that did not throw. */
export interface Outcome {
  exitCode: number;
}
