// Spans through the file of a process into a Chrome trace.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PHASES } from '../../../protos/phases.ts';
import { chromeTrace, writeChromeTrace } from '../../../worker/trace/chrome.ts';
import { type Part, PartWriter, readPart } from '../../../worker/trace/part.ts';

interface Event {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur: number;
  readonly args: Readonly<Record<string, unknown>>;
}

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lepton-trace-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const failed = (error: Error): never => {
  throw error;
};
const WORKER = { role: 'worker', rank: 3, attempt: 2, process: 4711, failed } as const;

function eventsOf(parts: readonly Part[]): Event[] {
  return JSON.parse([...chromeTrace(parts)].join('')) as Event[];
}

test('what is recorded is read again, on the clock that the host has', async () => {
  const path = join(folder, 'spans');
  const hostMs = Number(process.hrtime.bigint()) / 1e6;
  const fromMs = performance.now();
  {
    using part = new PartWriter({ ...WORKER, path });
    for (const [step, phase] of PHASES.entries()) part.span(phase, step, fromMs, fromMs + step / 4);
    part.span('wait', 4_000_000_000, fromMs, fromMs + 1, 0);
  }
  const { spans, ...rest } = (await readPart(path))!;
  assert.deepEqual(rest, { role: 'worker', rank: 3, attempt: 2, process: 4711, overwritten: 0 });
  assert.deepEqual(
    spans
      .slice(0, -1)
      .map(({ phase, step, milliseconds, rank }) => [phase, step, milliseconds.toFixed(6), rank]),
    PHASES.map((phase, step) => [phase, step, (step / 4).toFixed(6), undefined]),
  );
  const { step, rank } = spans.at(-1)!;
  assert.deepEqual([step, rank], [4_000_000_000, 0]);
  for (const span of spans) assert.ok(Math.abs(span.fromMs - hostMs) < 5, `${span.fromMs} is near ${hostMs}`);
});

for (const count of [0, 1, 99, 100, 101, 250, 1024, 1025, 5000])
  test(`the newest 100 of ${count} spans are kept, the oldest first`, async () => {
    const path = join(folder, `ring-${count}`);
    {
      using part = new PartWriter({ ...WORKER, path, capacity: 100 });
      for (let step = 0; step < count; step++) part.span('compute', step, step);
    }
    const { spans, overwritten } = (await readPart(path))!;
    const first = Math.max(0, count - 100);
    assert.equal(overwritten, first);
    assert.deepEqual(
      spans.map(({ step }) => step),
      Array.from({ length: count - first }, (_, at) => first + at),
    );
    assert.ok((await stat(path)).size <= 64 + 100 * 32);
  });

test('what was written is there although nobody closed the file', async () => {
  const path = join(folder, 'open');
  using part = new PartWriter({ ...WORKER, path });
  part.span('compute', 1, 0, 1);
  assert.equal((await readPart(path))!.spans.length, 0);
  part.flush();
  assert.equal((await readPart(path))!.spans.length, 1);
});

test('a file that takes no more ends the recording, once and with the reason', () => {
  const reasons: string[] = [];
  const part = new PartWriter({
    ...WORKER,
    path: '/dev/full',
    failed: ({ message }) => reasons.push(message),
  });
  for (let step = 0; step < 5000; step++) part.span('compute', step, 0);
  part.flush();
  assert.equal(reasons.length, 1);
  assert.match(reasons[0]!, /ENOSPC/);
});

test('files that hold no spans, or fewer than they say, are no trace of anything', async () => {
  await writeFile(join(folder, 'empty'), '');
  assert.equal(await readPart(join(folder, 'empty')), undefined);
  await writeFile(join(folder, 'other'), 'x'.repeat(100));
  assert.equal(await readPart(join(folder, 'other')), undefined);
  const path = join(folder, 'short');
  {
    using part = new PartWriter({ ...WORKER, path });
    for (let step = 0; step < 10; step++) part.span('compute', step, 0, 1);
  }
  await truncate(path, 64 + 3 * 32 + 5);
  assert.deepEqual(
    (await readPart(path))!.spans.map(({ step }) => step),
    [0, 1, 2],
  );
});

const SERVER: Part = {
  role: 'server',
  rank: 0,
  attempt: 0,
  process: 10,
  overwritten: 0,
  spans: [
    { phase: 'receive', step: 0, fromMs: 1000.5, milliseconds: 2, rank: 1 },
    { phase: 'update', step: 0, fromMs: 1003, milliseconds: 0.001_25 },
    { phase: 'step', step: 0, fromMs: 1000, milliseconds: 4, rank: 1 },
  ],
};

test('spans become complete events in microseconds from the earliest one', () => {
  const events = eventsOf([SERVER]).filter(({ ph }) => ph === 'X');
  assert.deepEqual(
    events.map(({ name, pid, ts, dur, args }) => ({ name, pid, ts, dur, args })),
    [
      { name: 'receive', pid: 10, ts: 500, dur: 2000, args: { step: 0, worker: 1 } },
      { name: 'update', pid: 10, ts: 3000, dur: 1.25, args: { step: 0 } },
      { name: 'step', pid: 10, ts: 0, dur: 4000, args: { step: 0, last: 1 } },
    ],
  );
});

test('every process and lane has a name, a later start says so, and nothing else is said of lanes', () => {
  const worker: Part = { ...SERVER, role: 'worker', rank: 1, attempt: 1, process: 11, overwritten: 7 };
  const events = eventsOf([SERVER, worker]);
  const names = (of: string) => events.filter(({ name }) => name === of).map(({ args }) => args['name']);
  assert.deepEqual(names('process_name'), ['server 0', 'worker 1, start 2']);
  assert.deepEqual(names('thread_name').slice(0, 3), ['from worker 1', 'update', 'steps']);
  const labels = events.filter(({ name }) => name === 'process_labels');
  assert.deepEqual(
    labels.map(({ args }) => args['labels']),
    ['7 older spans were not kept'],
  );
  const named = new Set(
    events.filter(({ name }) => name === 'thread_name').map(({ pid, tid }) => `${pid} ${tid}`),
  );
  for (const { ph, pid, tid } of events) if (ph === 'X') assert.ok(named.has(`${pid} ${tid}`));
});

test('a trace of nothing is an empty list', () => {
  assert.deepEqual(eventsOf([]), []);
});

test('the file of the trace is whole or as it was', async () => {
  const parts = await mkdtemp(join(folder, 'parts-'));
  {
    using part = new PartWriter({ ...WORKER, path: join(parts, 'worker-3-2') });
    for (let step = 0; step < 20_000; step++) part.span('compute', step, step, step + 1);
  }
  const path = join(folder, 'trace.json');
  await writeChromeTrace(parts, path);
  const events = JSON.parse(await readFile(path, 'utf8')) as Event[];
  assert.equal(events.filter(({ ph }) => ph === 'X').length, 20_000);
  const before = await readFile(path);
  await assert.rejects(writeChromeTrace(join(folder, 'nowhere'), path), /ENOENT/);
  await assert.rejects(writeChromeTrace(parts, join(folder, 'nowhere', 'trace.json')), /ENOENT/);
  assert.deepEqual(await readFile(path), before);
});
