// The coordinator's lines to the parameter servers: the one in its own process and those that enlist. The newest process of a
// server has its place. Decides nothing about the job.
import { RuntimeError } from '../protocol/errors.ts';
import type { ServerCommand } from '../transport/messages.ts';
import type { Outbox } from '../transport/streams.ts';

export interface ServerLinksOptions {
  readonly servers: number;
  /** To the server in this process. */
  readonly local: (command: ServerCommand) => void;
  readonly left: (server: number) => void;
}

export class ServerLinks {
  readonly #options: ServerLinksOptions;
  readonly #remote = new Map<number, Outbox<ServerCommand>>();

  constructor(options: ServerLinksOptions) {
    this.#options = options;
  }

  /** Throws BAD_MESSAGE for a server that does not exist. */
  add(server: number, commands: Outbox<ServerCommand>): void {
    const { servers, left } = this.#options;
    if (server < 1 || server >= servers)
      throw new RuntimeError(
        'BAD_MESSAGE',
        `enlist: expected a server from 1 to ${servers - 1}, got ${server}`,
      );
    const older = this.#remote.get(server);
    this.#remote.set(server, commands);
    older?.fail(new RuntimeError('REPLACED', `enlist: a newer process is server ${server}`));
    commands.onClose(() => {
      if (this.#remote.get(server) !== commands) return;
      this.#remote.delete(server);
      left(server);
    });
  }

  command(server: number, command: ServerCommand): void {
    if (server === 0) this.#options.local(command);
    else this.#remote.get(server)?.write(command);
  }

  end(): void {
    for (const commands of this.#remote.values()) commands.end();
  }
}
