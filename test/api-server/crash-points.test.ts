// The operator dies before and after each of its writes, for every story of a job's life: what comes after it must end in the objects
// of an undisturbed life. To the API server, the death is its connections breaking for good, with or without the answer.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { installCrd } from '../cluster/install-crd.ts';
import { FaultProxy } from './fault-proxy.ts';
import { Fleet } from './fleet.ts';
import { rest, runPending, QUICK_TIMES as TIMES } from './rest.ts';

let plane: ControlPlane;
before(async () => {
  plane = await startControlPlane({ with: ['kube-controller-manager'] });
  await installCrd(plane.api);
});
after(() => plane?.[Symbol.asyncDispose]());

interface Story {
  readonly name: string;
  /** Whether the job is there and its pods run when the story begins. */
  readonly settled: boolean;
  readonly begin: (fleet: Fleet) => Promise<unknown>;
  readonly suspended?: boolean;
}

const STORIES: readonly Story[] = [
  { name: 'create', settled: false, begin: (fleet) => fleet.submit('job') },
  { name: 'scale up', settled: true, begin: (fleet) => fleet.change('job', { worker: { replicas: 3 } }) },
  { name: 'scale down', settled: true, begin: (fleet) => fleet.change('job', { worker: { replicas: 1 } }) },
  { name: 'suspend', settled: true, begin: (fleet) => fleet.change('job', { suspend: true }) },
  {
    name: 'resume',
    settled: true,
    suspended: true,
    begin: (fleet) => fleet.change('job', { suspend: false }),
  },
  {
    name: 'fail and restart',
    settled: true,
    begin: async (fleet) => {
      const pod = (await fleet.pods('job')).find(({ metadata }) => metadata.name === 'job-worker-0');
      await fleet.end(pod!, 1);
    },
  },
  {
    name: 'delete',
    settled: true,
    begin: (fleet) => plane.api.delete(LEPTON_JOBS, { namespace: fleet.namespace, name: 'job' }),
  },
];

/** Without a write for this long, the operator is at rest: longer than the first back-off. */
const REST_MS = 1500;

type Death = { readonly at: number; readonly when: 'before' | 'after' };

/** Tells one story with one death, or none. Gives the final objects and the number of writes. */
async function tell(
  story: Story,
  death?: Death,
  restMs = REST_MS,
): Promise<{ final: unknown; writes: number }> {
  await using fleet = await Fleet.start(plane, { times: TIMES });
  const kubelet = setInterval(() => void runPending(fleet), 40);
  try {
    if (story.settled) await settle(fleet, story);
    await fleet.operator!.stop();
    await using first = await FaultProxy.start(plane);
    await using second = await FaultProxy.start(plane);
    const died = Promise.withResolvers<void>();
    let count = 0;
    first.rule = ({ isWrite }) => {
      if (!isWrite || !death || ++count !== death.at) return { kind: 'pass' };
      died.resolve();
      setTimeout(() => first.kill(), death.when === 'before' ? 0 : 30);
      return { kind: death.when === 'before' ? 'drop' : 'loseAnswer' };
    };
    await fleet.startOperator({ times: TIMES }, first.kubeConfig);
    await story.begin(fleet);
    if (!death) return await rest(fleet, [first], restMs);
    await Promise.race([died.promise, new Promise((resolve) => setTimeout(resolve, 8000))]);
    await new Promise((resolve) => setTimeout(resolve, 40));
    void fleet.operator!.stop().catch(() => {});
    await fleet.startOperator({ times: TIMES }, second.kubeConfig);
    return await rest(fleet, [second], restMs);
  } finally {
    clearInterval(kubelet);
  }
}

async function settle(fleet: Fleet, { suspended = false }: Story): Promise<void> {
  await fleet.submit('job', suspended ? { suspend: true } : {});
  await fleet.phase('job', suspended ? 'Suspended' : 'Starting');
}

for (const story of STORIES)
  test(`${story.name}: dying before and after every write`, { timeout: 280_000 }, async (context) => {
    const undisturbed = await tell(story, undefined, 3000);
    const deaths: Death[] = Array.from({ length: undisturbed.writes }, (_, index) => index + 1).flatMap(
      (at): Death[] => [
        { at, when: 'before' },
        { at, when: 'after' },
      ],
    );
    context.diagnostic(`${undisturbed.writes} writes, ${deaths.length} deaths`);
    const waiting = [...deaths];
    const wrong: string[] = [];
    const worker = async (): Promise<void> => {
      for (let death = waiting.shift(); death; death = waiting.shift()) {
        const { final } = await tell(story, death);
        const [got, expected] = [JSON.stringify(final), JSON.stringify(undisturbed.final)];
        if (got !== expected)
          wrong.push(`${death.when} write ${death.at}:\n  got ${got}\n  expected ${expected}`);
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    assert.deepEqual(wrong, []);
  });
