// What can happen to a job while the operator dies: each begins with a settled job, or with none.
import type { LeptonJobStatus } from '../../crds/status.ts';
import type { KubeObject, Resource, Stored } from '../../operator/kube/objects.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import type { ControlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/daemon.ts';
import type { Fleet, OperatorInput } from './fleet.ts';

export interface Story {
  readonly name: string;
  /** The job that is there when the story begins. */
  readonly settled?: 'running' | 'suspended';
  readonly begin: (fleet: Fleet) => Promise<unknown>;
  /** Whether the job is where the story takes it; undefined: it is gone. */
  readonly ended: (status: LeptonJobStatus | undefined) => boolean;
  /** Settings of the release that goes on; the pods named live on, whichever release works. */
  readonly upgrade?: { readonly config: OperatorInput; readonly keeps: readonly string[] };
}

const CRDS: Resource = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
};

const complete = (status: LeptonJobStatus | undefined, workers: number): boolean =>
  status?.phase === 'Starting' && status.worker?.ready === workers && status.worker.replicas === workers;

export const STORIES: readonly Story[] = [
  { name: 'create', begin: (fleet) => fleet.submit('job'), ended: (status) => complete(status, 2) },
  {
    name: 'scale up',
    settled: 'running',
    begin: (fleet) => fleet.change('job', { worker: { replicas: 3 } }),
    ended: (status) => complete(status, 3),
  },
  {
    name: 'scale down',
    settled: 'running',
    begin: (fleet) => fleet.change('job', { worker: { replicas: 1 } }),
    ended: (status) => complete(status, 1),
  },
  {
    name: 'suspend',
    settled: 'running',
    begin: (fleet) => fleet.change('job', { suspend: true }),
    ended: (status) => status?.phase === 'Suspended',
  },
  {
    name: 'resume',
    settled: 'suspended',
    begin: (fleet) => fleet.change('job', { suspend: false }),
    ended: (status) => complete(status, 2),
  },
  { name: 'fail and restart', settled: 'running', begin: failWorker, ended: isReplaced },
  {
    name: 'delete',
    begin: async (fleet) => {
      await fleet.submit('job');
      void deleteSoon(fleet);
    },
    ended: (status) => status === undefined,
  },
];

/** A worker fails while another release, with other defaults and another text of the CRD, takes over. */
export const UPGRADE: Story = {
  name: 'upgrade',
  settled: 'running',
  begin: async (fleet) => {
    await applyCrdAgain(fleet.plane);
    await failWorker(fleet);
  },
  ended: isReplaced,
  upgrade: {
    config: {
      image: 'lepton/worker:next',
      runAsUser: 4242,
      resources: { worker: { requests: { cpu: '7m' } }, parameterServer: {} },
    },
    keeps: ['job-server-0', 'job-worker-1'],
  },
};

/** In the middle of its making; whether the operator still lives, others do not wait for it. */
async function deleteSoon(fleet: Fleet): Promise<void> {
  const { plane, namespace } = fleet;
  await until('a pod', DELETED_AFTER_MS, async () => (await fleet.pods('job')).length > 0 || undefined).catch(
    () => {},
  );
  await plane.api.delete(LEPTON_JOBS, { namespace, name: 'job' });
}

function isReplaced(status: LeptonJobStatus | undefined): boolean {
  return complete(status, 2) && status?.attempt === 1 && (status.replacing ?? []).length === 0;
}

async function failWorker(fleet: Fleet): Promise<void> {
  const pod = (await fleet.pods('job')).find(({ metadata }) => metadata.name === 'job-worker-0');
  await fleet.end(pod!, 1);
}

interface Crd extends Stored {
  readonly spec: {
    readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: { description?: string } } }[];
  };
}

const DELETED_AFTER_MS = 3000;
let revisions = 0;

/** Another text: the server makes a new handler and ends the watches of the old one. */
async function applyCrdAgain({ api }: ControlPlane): Promise<void> {
  for (;;) {
    const crd = await api.get<Crd>(CRDS, { name: 'leptonjobs.lepton.ai' });
    crd.spec.versions[0]!.schema.openAPIV3Schema.description = `A training job, revision ${++revisions}`;
    try {
      await api.replace(CRDS, crd as KubeObject);
      return;
    } catch (error) {
      if ((error as { status?: number }).status !== 409) throw error; // beside other stories
    }
  }
}
