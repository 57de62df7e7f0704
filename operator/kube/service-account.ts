// A pod's own account, as the kubelet mounts it. client-node knows it as well, but brings the models of every kind of object along:
// 75 MiB for an operator that reads none of them.
import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { join } from 'node:path';
import type { Access } from './client.ts';

const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

export class ServiceAccount implements Access {
  readonly #server: string;
  readonly #folder: string;

  private constructor(server: string, folder: string) {
    this.#server = server;
    this.#folder = folder;
  }

  /** Undefined outside of a pod. `folder` holds `token` and `ca.crt`. */
  static ofPod(
    environment: Readonly<Record<string, string | undefined>>,
    folder = FOLDER,
  ): ServiceAccount | undefined {
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment;
    if (host === undefined || host === '') return undefined;
    return new ServiceAccount(`https://${host.includes(':') ? `[${host}]` : host}:${port}`, folder);
  }

  getCurrentCluster(): { readonly server: string } {
    return { server: this.#server };
  }

  /** The kubelet renews both files: they are read each time. Throws where one cannot be read. */
  async applyToHTTPSOptions(options: RequestOptions): Promise<void> {
    const [token, authority] = await Promise.all(
      ['token', 'ca.crt'].map((name) => readFile(join(this.#folder, name), 'utf8')),
    );
    options.headers = {
      ...(options.headers as Record<string, string>),
      Authorization: `Bearer ${token!.trim()}`,
    };
    options.ca = authority!;
  }
}
