// What `lepton run --trace` costs: two equal jobs of two workers and a server, one of which is traced, train in turns on the same
// processors; nobody computes while the other does.
//   node bench/trace-cost.ts [ROUNDS]
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RoleConfigInput } from '../protos/role-config.ts';
import { freePorts } from '../worker/launch/ports.ts';
import { PartWriter, readPart } from '../worker/trace/part.ts';
import { PhaseClock } from '../worker/trace/phase-times.ts';
import { startJobPeer } from './job-peer.ts';
import type { Peer } from './peer.ts';
import { compared, limited, type Row, report, type Sample, summarize } from './report.ts';

const [rounds = '5'] = process.argv.slice(2);
const ROUNDS = Number(rounds);
const TURNS = 9;
const WARM_UP = 2;
/** Of which the cost of one is taken. */
const SPANS = 20_000;
const PROCESSORS = `0-${cpus().length - 1}`;
const WORKERS = 2;
/** Steps of one turn: about half a second. */
const STEPS = 30;
/** One percent fewer samples per second. */
const BAR = 1 / 0.99;
/** In which the kernel counts, by the second: the same on every Linux. */
const TICKS = 100;
let engine = '';

interface Cost {
  /** Milliseconds of a step, as the slowest worker saw them. */
  readonly wall: number;
  /** Milliseconds of processors that all processes took for a step. */
  readonly processors: number;
}

class Job implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'lepton-bench-'));
  readonly #workers: readonly Peer[];
  readonly #server: Peer;

  constructor(port: number, traced: boolean, testing: RoleConfigInput['testing']) {
    const peer = (role: 'server' | 'worker', rank: number): Peer => {
      const own = { role, rank, workers: WORKERS, servers: [`127.0.0.1:${port}`], testing };
      const traceFile = traced ? { traceFile: join(this.#folder, `${role}-${rank}.part`) } : {};
      return startJobPeer({ ...own, ...traceFile }, this.#folder, { net: 'mlp' }, PROCESSORS);
    };
    this.#server = peer('server', 0);
    this.#workers = Array.from({ length: WORKERS }, (_, rank) => peer('worker', rank));
  }

  async ready(): Promise<void> {
    const [first] = await Promise.all(this.#workers.map((peer) => peer.read<{ version: string }>()));
    engine = first!.version;
  }

  async turn(): Promise<Cost> {
    const before = this.#processorSeconds();
    const asked = this.#workers.map((peer) => peer.ask<{ seconds: number }>({ steps: STEPS }));
    const answers = await Promise.all(asked);
    const seconds = Math.max(...answers.map((answer) => answer.seconds));
    return {
      wall: (1000 * seconds) / STEPS,
      processors: (1000 * (this.#processorSeconds() - before)) / STEPS,
    };
  }

  #processorSeconds(): number {
    const ticks = [...this.#workers, this.#server].flatMap(({ pid }) => {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // Behind the name, which may hold anything: utime and stime are the 14th and 15th of all.
      return stat
        .slice(stat.lastIndexOf(')') + 2)
        .split(' ')
        .slice(11, 13)
        .map(Number);
    });
    return ticks.reduce((sum, each) => sum + each, 0) / TICKS;
  }

  /** Of all its processes. */
  async spans(): Promise<number> {
    const names = readdirSync(this.#folder).filter((name) => name.endsWith('.part'));
    const parts = await Promise.all(names.map((name) => readPart(join(this.#folder, name))));
    return parts.reduce((sum, part) => sum + (part ? part.spans.length + part.overwritten : 0), 0);
  }

  [Symbol.dispose](): void {
    for (const peer of [...this.#workers, this.#server]) peer[Symbol.dispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What a span costs a process that writes it to a file, above one that only counts it. */
function spanMicroseconds(): number {
  const folder = mkdtempSync(join(tmpdir(), 'lepton-bench-'));
  const failed = (error: Error): never => {
    throw error;
  };
  const identity = { role: 'worker', rank: 0, attempt: 0, process: process.pid } as const;
  using writing = new PhaseClock(new PartWriter({ path: join(folder, 'part'), failed, ...identity }));
  const counting = new PhaseClock();
  const each = (clock: PhaseClock): number => {
    const startMs = performance.now();
    for (let step = 0; step < SPANS; step++) clock.span('push', step, startMs);
    return (1000 * (performance.now() - startMs)) / SPANS;
  };
  const costs = Array.from({ length: TURNS }, () => each(writing) - each(counting));
  rmSync(folder, { recursive: true, force: true });
  return summarize(costs).median;
}

interface Measured {
  readonly costs: readonly [plain: Cost[], traced: Cost[]];
  spansPerStep: number;
}

/** Two new jobs: what one has by chance, such as where its memory lies, is another one's in the next round. */
async function round(testing: RoleConfigInput['testing'], into: Measured): Promise<void> {
  const [first, second] = (await freePorts(2)) as [number, number];
  using plain = new Job(first, false, testing);
  using traced = new Job(second, true, testing);
  const jobs = [plain, traced];
  await Promise.all(jobs.map((job) => job.ready()));
  for (let turn = -WARM_UP; turn < TURNS; turn++)
    // Who goes first changes, so that what grows over time meets both alike.
    for (const job of turn % 2 === 0 ? jobs : jobs.toReversed()) {
      const cost = await job.turn();
      if (turn >= 0) into.costs[jobs.indexOf(job)]!.push(cost);
    }
  into.spansPerStep = (await traced.spans()) / ((WARM_UP + TURNS) * STEPS);
}

async function rowsOf(name: string, testing: RoleConfigInput['testing']): Promise<Row[]> {
  const measured: Measured = { costs: [[], []], spansPerStep: 0 };
  for (let at = 0; at < ROUNDS; at++) await round(testing, measured);
  const { costs, spansPerStep } = measured;
  const note = `${spansPerStep.toFixed(1)} spans a step, of all processes together`;
  const of = (side: readonly Cost[], what: keyof Cost): Sample => summarize(side.map((cost) => cost[what]));
  const [plain, traced] = costs;
  const what = `MLP, ${WORKERS} workers, ${name}`;
  const common = { unit: 'ms', bar: BAR, peerName: 'not traced' };
  const spans = { median: spansPerStep * SPAN_MICROSECONDS, spread: 0 };
  return [
    compared(
      { ...common, name: `training step, ${what}, traced`, note },
      of(traced, 'wall'),
      of(plain, 'wall'),
    ),
    compared(
      { ...common, name: `processor time of a step, ${what}, traced` },
      of(traced, 'processors'),
      of(plain, 'processors'),
    ),
    limited(
      { name: `spans of a step, ${what}`, unit: 'µs', note: 'limit: 1 % of the step' },
      spans,
      10 * of(plain, 'wall').median,
    ),
  ];
}

const SPAN_MICROSECONDS = spanMicroseconds();
const rows = [
  ...(await rowsOf('shared memory', { sharedMemory: true })),
  ...(await rowsOf('gRPC', { sharedMemory: false })),
];
report('trace-cost', rows, { lepton: engine });
process.exitCode = rows.every(({ holds }) => holds) ? 0 : 1;
