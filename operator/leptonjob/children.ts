// The objects of a job beside its pods: service, config, certificates, network policy. Pure.
import type { KubeObject } from '../kube/objects.ts';
import type { LeptonJobObject } from './job.ts';
import { jobConfigOf } from './job-config.ts';
import {
  certificatesName,
  configName,
  LABELS,
  networkPolicyName,
  SERVER_PORT,
  serviceName,
} from './names.ts';
import { childMetadata } from './ownership.ts';

/**
 * Headless: names of the servers, also before they are ready: everybody looks for them to become so. Nobody connects to a
 * worker without a server: a thousand of them as endpoints would cost the cluster more than their creation does.
 */
export function serviceOf(job: LeptonJobObject): KubeObject {
  return {
    metadata: childMetadata(job, serviceName(job.metadata.name)),
    spec: {
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: { [LABELS.jobUid]: job.metadata.uid, [LABELS.server]: 'true' },
      ports: [{ name: 'grpc', port: SERVER_PORT, targetPort: SERVER_PORT }],
    },
  } as KubeObject;
}

export function configMapOf(job: LeptonJobObject, workers: number): KubeObject {
  const { content, digest } = jobConfigOf(job, workers);
  return {
    metadata: childMetadata(job, configName(job.metadata.name, digest)),
    immutable: true,
    data: { 'job.json': JSON.stringify(content) },
  } as KubeObject;
}

export function secretOf(
  job: LeptonJobObject,
  files: Readonly<Record<string, string>>,
  generation: number,
): KubeObject {
  return {
    metadata: childMetadata(job, certificatesName(job.metadata.name, generation)),
    immutable: true,
    type: 'Opaque',
    data: Object.fromEntries(
      Object.entries(files).map(([name, content]) => [name, Buffer.from(content).toString('base64')]),
    ),
  } as KubeObject;
}

/** Only pods of the job and the operator may connect, and only to the servers' port. */
export function networkPolicyOf(job: LeptonJobObject): KubeObject {
  const own = { [LABELS.jobUid]: job.metadata.uid };
  return {
    metadata: childMetadata(job, networkPolicyName(job.metadata.name)),
    spec: {
      podSelector: { matchLabels: own },
      policyTypes: ['Ingress'],
      ingress: [
        {
          from: [
            { podSelector: { matchLabels: own } },
            {
              namespaceSelector: {},
              podSelector: {
                matchLabels: {
                  'app.kubernetes.io/name': 'lepton',
                  'app.kubernetes.io/component': 'operator',
                },
              },
            },
          ],
          ports: [{ port: SERVER_PORT, protocol: 'TCP' }],
        },
      ],
    },
  } as KubeObject;
}
