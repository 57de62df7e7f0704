// Images of a test cluster, as archives that containerd imports: operator, worker, and the one that holds a pod's namespaces.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SCRIPT = join(import.meta.dirname, '../../scripts/image.sh');

/** Gives the paths of the archives, made from this checkout. */
export async function buildImages(folder: string): Promise<string[]> {
  const archives: string[] = [];
  for (const target of ['operator', 'worker']) {
    const archive = join(folder, `${target}.tar`);
    await run(SCRIPT, [target, join(folder, target), archive, `docker.io/lepton/${target}:test`], {
      maxBuffer: 2 ** 26,
    });
    archives.push(archive);
  }
  archives.push(await pauseImage(folder));
  return archives;
}

/** `sleep` of busybox-static; nothing else is needed of it. */
async function pauseImage(folder: string): Promise<string> {
  const archive = join(folder, 'pause.tar');
  await run('bash', [
    '-c',
    `set -euo pipefail; cd "$1"; mkdir -p pause/root/bin; cp "$(command -v busybox)" pause/root/bin/sleep
     tar -C pause/root -cf pause/layer.tar .; digest=$(sha256sum pause/layer.tar | cut -d' ' -f1)
     echo '{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/bin/sleep","2147483647"]},"rootfs":{"type":"layers","diff_ids":["sha256:'$digest'"]}}' >pause/config.json
     echo '[{"Config":"config.json","RepoTags":["docker.io/lepton/pause:test"],"Layers":["layer.tar"]}]' >pause/manifest.json
     tar -C pause -cf "$2" config.json manifest.json layer.tar`,
    'bash',
    folder,
    archive,
  ]);
  return archive;
}
