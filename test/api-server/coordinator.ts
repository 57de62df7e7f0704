// The coordinator of one job that says what a test tells it, over the real transport, with the server's certificate out of the job's
// secret. It trains nothing.
import { SECRETS, type Stored } from '../../operator/kube/objects.ts';
import type { Heard } from '../../operator/leptonjob/report.ts';
import { Certificates } from '../../worker/transport/certificates.ts';
import { type Listener, listen } from '../../worker/transport/listener.ts';
import type { ResizeRequest } from '../../worker/transport/messages.ts';
import type { Outbox } from '../../worker/transport/streams.ts';
import type { ControlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/daemon.ts';

const SILENT: Heard = {
  phase: 'Starting',
  step: 0,
  steps: 100,
  epoch: 1,
  samplesPerSecond: 0,
  metrics: {},
  evaluation: {},
};

interface Secret extends Stored {
  readonly data: Readonly<Record<string, string>>;
}

export class Coordinator {
  readonly jobUid: string;
  stops = 0;
  /** What it was asked for, in order. */
  readonly resizes: { readonly workers: number; readonly gone: boolean }[] = [];
  readonly #listener: Listener;
  readonly #watchers = new Set<Outbox<unknown>>();
  /** As the real one, it says four times a second what it knows. */
  readonly #timer = setInterval(() => this.#tell(), 250).unref();
  #report: Partial<Heard> = SILENT;

  private constructor(jobUid: string, listener: Listener) {
    this.jobUid = jobUid;
    this.#listener = listener;
  }

  static async start(
    plane: ControlPlane,
    namespace: string,
    job: string,
    jobUid: string,
  ): Promise<Coordinator> {
    const { data } = await until('the certificates of the job', 10_000, () =>
      plane.api.get<Secret>(SECRETS, { namespace, name: `${job}-tls` }),
    );
    const file = (name: string): Buffer => Buffer.from(data[name]!, 'base64');
    let self: Coordinator | undefined;
    const listener = await listen({
      address: '127.0.0.1:0',
      security: {
        kind: 'mutualTls',
        jobUid,
        certificates: new Certificates({
          read: () => [
            { authority: file('ca.crt'), certificate: file('server.crt'), key: file('server.key') },
          ],
        }),
      },
      chunkBytes: 2 ** 20,
      peers: 4,
      exchange: {} as never,
      coordination: {
        watch: (out: Outbox<unknown>) => self?.watch(out),
        stop: () => {
          if (self) self.stops++;
        },
        resize: (request: ResizeRequest) => void self?.resizes.push(request),
      } as never,
    });
    self = new Coordinator(jobUid, listener);
    return self;
  }

  get address(): string {
    return `127.0.0.1:${this.#listener.port}`;
  }

  watch(out: Outbox<unknown>): void {
    this.#watchers.add(out);
    out.onClose(() => this.#watchers.delete(out));
    out.write(this.#report);
  }

  say(report: Partial<Heard>): void {
    this.#report = { ...this.#report, ...report };
    this.#tell();
  }

  /** Its process stands still: the line stays open and nothing comes. */
  hush(): void {
    clearInterval(this.#timer);
  }

  #tell(): void {
    for (const watcher of this.#watchers) watcher.write(this.#report);
  }

  close(): Promise<void> {
    clearInterval(this.#timer);
    return this.#listener.close();
  }
}
