// A folder of this machine as a claim of a namespace: all nodes of a test cluster see it.
import { chown, mkdir } from 'node:fs/promises';
import type { KubeObject, Resource } from '../../operator/kube/objects.ts';
import type { ControlPlane } from './control-plane.ts';

const VOLUMES: Resource = {
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  plural: 'persistentvolumes',
  namespaced: false,
};
const CLAIMS: Resource = {
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  plural: 'persistentvolumeclaims',
  namespaced: true,
};
/** Of the training pods. */
const USER = 65_532;

export interface VolumeOptions {
  readonly path: string;
  readonly namespace?: string;
  readonly readOnly?: boolean;
}

/** A folder that the training pods may write; it may be there. */
export async function makeOutput(path: string): Promise<string> {
  await mkdir(path, { recursive: true });
  await chown(path, USER, USER);
  return path;
}

export async function makeVolume(
  { api }: ControlPlane,
  name: string,
  { path, namespace = 'default', readOnly = false }: VolumeOptions,
): Promise<void> {
  const common = { accessModes: [readOnly ? 'ReadOnlyMany' : 'ReadWriteMany'], storageClassName: '' };
  const volume = {
    metadata: { name: `${namespace}-${name}` },
    spec: {
      ...common,
      capacity: { storage: '1Gi' },
      hostPath: { path },
      claimRef: { namespace, name },
    },
  };
  const claim = {
    metadata: { name, namespace },
    spec: { ...common, resources: { requests: { storage: '1Gi' } }, volumeName: volume.metadata.name },
  };
  await api.create(VOLUMES, volume as KubeObject);
  await api.create(CLAIMS, claim as KubeObject);
}
