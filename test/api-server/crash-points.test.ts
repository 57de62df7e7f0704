// The operator dies before and after each of its writes, for every story of a job's life: what comes after it must end in the objects
// of an undisturbed life, in rest, without orphans, and no place may ever have had two pods. `make crash-points` kills processes with
// SIGKILL and wants ten seconds of rest; `make test` breaks the connections of operators in this process.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { LeptonJobStatus } from '../../crds/status.ts';
import type { LeptonJobObject } from '../../operator/leptonjob/job.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { until } from '../cluster/daemon.ts';
import { type Arena, startArena, twinsIn } from './arena.ts';
import type { Fault } from './fault-proxy.ts';
import { Fleet } from './fleet.ts';
import { type Life, startHere, startProcess } from './life.ts';
import { differences, type Final, QUICK_TIMES, quiet, rest } from './rest.ts';
import { STORIES, type Story, UPGRADE } from './stories.ts';

const IN_PROCESS = process.env['LEPTON_CRASH_POINTS'] !== 'processes';
/** Longer than the first back-off, or what is asked of an operator that does nothing. */
const REST_MS = IN_PROCESS ? 1500 : 10_000;
const AT_ONCE = IN_PROCESS ? 8 : 10;
const END_WITHIN_MS = 120_000;

let arena: Arena;
before(async () => {
  arena = await startArena();
});
after(() => arena?.[Symbol.asyncDispose]());

type Death = { readonly at: number; readonly when: 'before' | 'after' };

interface Told {
  readonly final: Final;
  readonly writes: number;
  /** Whether the write that was to be the last one came. */
  readonly died: boolean;
  readonly wrong: readonly string[];
}

/** Tells one story with one death, or none. */
async function tell(story: Story, death?: Death): Promise<Told> {
  await using fleet = await Fleet.withoutOperator(arena.plane);
  const start = IN_PROCESS ? startHere : startProcess;
  const lives: Life[] = [];
  const live = async (config = {}): Promise<Life> => {
    const life = await start(fleet, { times: QUICK_TIMES, ...config });
    lives.push(life);
    return life;
  };
  try {
    const first = await live();
    await settle(fleet, story, first);
    const kept = await keptPods(fleet, story);
    const before = first.proxy.writes;
    const end = death ? dieAt(first, death) : undefined;
    await story.begin(fleet);
    const died = end !== undefined && (await Promise.race([end, endOfStory(fleet, story, first)]));
    if (death) {
      first.die();
      await live(story.upgrade?.config);
    }
    await until(story.name, END_WITHIN_MS, async () => story.ended(await statusOf(fleet)) || undefined);
    const proxies = lives.map(({ proxy }) => proxy);
    const { final, writes } = await rest(fleet, proxies, REST_MS);
    const wrong = [
      ...(await twinsIn(arena, fleet)),
      ...(story.upgrade ? await changeRelease(fleet, story, lives, live, kept) : []),
    ];
    return { final, writes: writes - before, died, wrong };
  } finally {
    for (const life of lives) await life.stop();
  }
}

/** Undefined where there is no job; a server that cannot say makes it fail. */
async function statusOf(fleet: Fleet): Promise<LeptonJobStatus | undefined> {
  const { items } = await arena.plane.api.list<LeptonJobObject>(LEPTON_JOBS, { namespace: fleet.namespace });
  return items.length === 0 ? undefined : (items[0]!.status ?? {});
}

/** Resolves when it has died. */
function dieAt(life: Life, { at, when }: Death): Promise<true> {
  const died = Promise.withResolvers<true>();
  const end = (): void => {
    life.die();
    died.resolve(true);
  };
  let count = 0;
  life.proxy.rule = ({ isWrite }): Fault => {
    if (!isWrite || ++count !== at) return { kind: 'pass' };
    if (when === 'after') return { kind: 'loseAnswer', onDone: end };
    end();
    return { kind: 'drop' };
  };
  return died.promise;
}

/** A write that one life has and another merges with its neighbour does not come before all is done. */
async function endOfStory(fleet: Fleet, story: Story, { proxy }: Life): Promise<false> {
  const ended = async () => story.ended(await statusOf(fleet).catch(() => ({}))) || undefined;
  await until(story.name, END_WITHIN_MS, ended).catch(() => {});
  await quiet([proxy], 1000);
  return false;
}

async function settle(fleet: Fleet, { settled }: Story, { proxy }: Life): Promise<void> {
  if (settled === undefined) return;
  await fleet.submit('job', settled === 'suspended' ? { suspend: true } : {});
  const phase = settled === 'suspended' ? 'Suspended' : 'Starting';
  await fleet.expect('job', phase, ({ status }) => status?.phase === phase, 60_000);
  await quiet([proxy], 300);
}

async function keptPods(fleet: Fleet, { upgrade }: Story): Promise<Map<string, string>> {
  const pods = upgrade ? await fleet.pods('job') : [];
  return new Map(
    pods.flatMap(({ metadata: { name, uid } }) => (upgrade!.keeps.includes(name) ? [[name, uid]] : [])),
  );
}

/** Forth and back between the releases: nobody's change of settings is a change of the job. */
async function changeRelease(
  fleet: Fleet,
  story: Story,
  lives: Life[],
  live: (config?: object) => Promise<Life>,
  kept: ReadonlyMap<string, string>,
): Promise<string[]> {
  const wrong: string[] = [];
  const uids = async () => (await fleet.pods('job')).map(({ metadata }) => metadata.uid).join(' ');
  for (const [name, uid] of kept) {
    const pod = (await fleet.pods('job')).find(({ metadata }) => metadata.name === name);
    if (pod?.metadata.uid !== uid) wrong.push(`${name} was replaced`);
  }
  const before = await uids();
  for (const config of [story.upgrade!.config, {}]) {
    await lives.pop()!.stop();
    const { proxy } = await live(config);
    await quiet([proxy], REST_MS);
    if (proxy.writes > 0) wrong.push(`${proxy.writes} writes of another release to a job at rest`);
    if ((await uids()) !== before) wrong.push('another release replaced pods');
  }
  return wrong;
}

/** So many stories at once, in the order in which they come. */
let free = AT_ONCE;
const waiting: (() => void)[] = [];
async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (free > 0) free--;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else free++;
  }
}

/** A pod that was made before the change of release has its old settings. */
function comparable({ final }: Told, { upgrade }: Story): unknown {
  return upgrade ? { names: Object.keys(final.objects), status: final.status } : final;
}

/** Before and after every write; in `make test` before the odd ones and after the even ones. */
function deathsAt(writes: number): Death[] {
  const all = Array.from({ length: writes }, (_, index) => index + 1).flatMap((at): Death[] => [
    { at, when: 'before' },
    { at, when: 'after' },
  ]);
  return IN_PROCESS ? all.filter(({ at, when }) => (at % 2 === 1) === (when === 'before')) : all;
}

async function sweep(story: Story): Promise<string> {
  const undisturbed = await inTurn(() => tell(story));
  assert.deepEqual(undisturbed.wrong, []);
  const deaths = deathsAt(undisturbed.writes);
  const expected = comparable(undisturbed, story);
  let died = 0;
  const wrong = await Promise.all(
    deaths.map((death) =>
      inTurn(async () => {
        const told = await tell(story, death);
        if (told.died) died++;
        const different = differences(comparable(told, story), expected);
        return [...told.wrong, ...different].map((what) => `${death.when} write ${death.at}: ${what}`);
      }),
    ),
  );
  assert.deepEqual(wrong.flat(), []);
  assert.ok(died >= deaths.length / 2, `${died} of ${deaths.length} deaths came`);
  return `${undisturbed.writes} writes, ${died} deaths (${deaths.length - died} never came), 0 wrong`;
}

const timeout = IN_PROCESS ? 580_000 : 3_000_000;
describe('dying before and after every write', { concurrency: true }, () => {
  for (const story of STORIES)
    test(story.name, { timeout }, async (context) =>
      context.diagnostic(`${story.name}: ${await sweep(story)}`),
    );
});

// It changes the CRD under everybody's feet.
test(`${UPGRADE.name}: dying before and after every write`, { timeout }, async (context) =>
  context.diagnostic(`${UPGRADE.name}: ${await sweep(UPGRADE)}`),
);
