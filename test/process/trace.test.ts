// The trace of real processes: all of them are in it on one clock, also one that was killed; and who was slow is told.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startJob, type TestJob, temporaryFolder } from './processes.ts';

const TIMEOUT = { timeout: 180_000 };
const JOB: TestJob = { workers: 2, servers: 2, batchSize: 32, epochs: 4, everySteps: 20, maxRestarts: 3 };
/** Events are rounded to a nanosecond. */
const ROUNDING = 0.01;

interface Event {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur: number;
  readonly args: Readonly<Record<string, number | undefined>>;
}

interface Span {
  readonly process: string;
  readonly lane: string;
  readonly name: string;
  readonly from: number;
  readonly until: number;
  readonly step: number;
  readonly worker: number | undefined;
}

async function spansOf(path: string): Promise<Span[]> {
  const events = JSON.parse(await readFile(path, 'utf8'));
  const names = new Map<string, string>();
  for (const { name, pid, tid, args } of events)
    if (name === 'process_name' || name === 'thread_name') names.set(`${name} ${pid} ${tid}`, args.name);
  return events
    .filter(({ ph }: { ph: string }) => ph === 'X')
    .map(({ name, pid, tid, ts, dur, args }: Event) => ({
      process: names.get(`process_name ${pid} 0`),
      lane: names.get(`thread_name ${pid} ${tid}`),
      name,
      from: ts,
      until: ts + dur,
      step: args['step'],
      worker: args['worker'],
    }));
}

test('every process is in the trace on one clock, a killed one until its end', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const traceFile = join(folder.path, 'trace.json');
  await using job = await startJob({ ...JOB, traceFile, epochs: 10_000 }, folder.path);
  // Spans reach the disk once a second.
  assert.ok(await job.until(({ workers }) => (workers[1]?.waits?.computeSeconds ?? 0) > 0));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const { pid, restarts } = job.progress.workers[1]!;
  process.kill(pid!, 'SIGKILL');
  assert.ok(await job.until(({ workers }) => workers[1]!.restarts > restarts));
  const { step: killedAt } = job.progress;
  assert.ok(await job.until(({ step }) => step > killedAt + 20));
  await job.stop();
  assert.equal((await job.finished).phase, 'Stopped');
  const spans = await spansOf(traceFile);
  const processes = new Set(spans.map(({ process: name }) => name));
  for (const name of ['server 0', 'worker 0', 'worker 1', 'worker 1, start 2'])
    assert.ok(processes.has(name), `${name} is there`);

  const of = (process: string, phase: string) =>
    spans.filter((span) => span.process === process && span.name === phase);
  for (const phase of ['data', 'compute', 'push', 'wait', 'pull'])
    assert.ok(of('worker 0', phase).length > 100, phase);
  for (const phase of ['receive', 'sum', 'update', 'send', 'step'])
    assert.ok(of('server 0', phase).length > 100, phase);

  // Cause and effect across processes, which fails for clocks that are some tens of microseconds apart.
  const computed = new Map(of('worker 0', 'compute').map((span) => [span.step, span]));
  const received = of('server 0', 'receive').filter(({ worker }) => worker === 0);
  assert.ok(received.length > 100);
  for (const { step, until } of received) {
    const compute = computed.get(step);
    if (compute) assert.ok(until > compute.from - ROUNDING, `gradients of step ${step} come after its begin`);
  }
  const begun = new Map(of('server 0', 'step').map((span) => [span.step, span]));
  for (const { step, from } of computed.values()) {
    const whole = begun.get(step);
    if (whole) assert.ok(from > whole.from - ROUNDING, `step ${step} is computed after it has begun`);
  }
});

test('phases of one lane do not overlap', TIMEOUT, async () => {
  await using folder = await temporaryFolder();
  const traceFile = join(folder.path, 'trace.json');
  await using job = await startJob({ ...JOB, traceFile }, folder.path);
  assert.equal((await job.finished).phase, 'Succeeded');
  const lanes = Map.groupBy(await spansOf(traceFile), ({ process, lane }) => `${process}: ${lane}`);
  assert.ok(lanes.size >= 10, [...lanes.keys()].join());
  for (const [lane, spans] of lanes) {
    spans.sort((a, b) => a.from - b.from);
    for (const [at, span] of spans.entries())
      if (at > 0)
        assert.ok(span.from >= spans[at - 1]!.until - ROUNDING, `${lane}: ${span.name} ${span.step}`);
  }
});

test(
  'a worker that gets a quarter of the time is told as slow, and the other one waits for it',
  TIMEOUT,
  async () => {
    await using folder = await temporaryFolder();
    await using job = await startJob({ ...JOB, epochs: 10_000, everySteps: 100_000 }, folder.path);
    assert.ok(await job.until(({ step }) => step >= 20));
    const pid = job.progress.workers[1]!.pid!;
    const slow = () => (job.progress.waits?.slow ?? []).map(({ rank }) => rank);
    let turn = 0;
    const timer = setInterval(() => process.kill(pid, turn++ % 4 === 0 ? 'SIGCONT' : 'SIGSTOP'), 5);
    try {
      assert.ok(await job.until(() => slow().includes(1)));
    } finally {
      clearInterval(timer);
      process.kill(pid, 'SIGCONT');
    }
    assert.deepEqual(slow(), [1]);
    const [told] = job.logged('worker is slower than the others');
    assert.equal(told?.fields['rank'], 1);
    const [first, second] = job.progress.workers;
    assert.equal(first!.waits!.longestFor, 1);
    assert.ok(first!.waits!.waitedSeconds > 2 * second!.waits!.waitedSeconds);
    assert.ok(await job.until(() => slow().length === 0), 'it keeps pace again');
  },
);
