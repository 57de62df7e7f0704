// Exit codes of every role: how a process tells launcher and operator whether starting it again makes sense.

export const EXIT = {
  done: 0,
  /** Something went wrong that a new process may not meet again. */
  failed: 1,
  /** Wrong configuration, model, data or a diverged loss: a new process would meet it again. */
  hopeless: 3,
  /** A newer process has this rank. */
  replaced: 4,
  /** The process that started this one has died. */
  orphaned: 5,
  /** Ended by SIGTERM, as shells report it: 128 + 15. */
  terminated: 143,
} as const;
