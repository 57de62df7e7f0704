// What it costs that servers work in memory which outlives them, beside servers that do not, in turns on the same processors; and how
// long training stands still for a checkpoint.
//   node bench/snapshots.ts [REPEATS]
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { engine } from '../native/engine.ts';
import { freePorts } from '../worker/launch/ports.ts';
import type { ReportedProgress } from '../worker/roles/progress-board.ts';
import { CoordinationClient } from '../worker/transport/clients.ts';
import { SECURITY, specFor, startJobPeer, type What } from './job-peer.ts';
import type { Peer } from './peer.ts';
import { compared, limited, type Row, report, type Sample, summarize } from './report.ts';

const REPEATS = Number(process.argv[2] ?? 9);
const PROCESSORS = `0-${cpus().length - 1}`;
const WORKERS = 2;
const MiB = 2 ** 20;
/** Of a step: what a snapshot, and the stall of a checkpoint, may take. */
const BAR = 0.05;
const CHECKPOINT_EVERY = 4;
const NEVER = 1_000_000_000;
/** Progress is told four times a second. */
const TOLD_MS = 600;

/** One server and its workers, which do as many steps as they are asked for. */
class Job implements Disposable {
  readonly #workers: readonly Peer[];
  readonly #server: Peer;
  readonly #folder = mkdtempSync(join(tmpdir(), 'lepton-bench-'));
  readonly #memory = [engine.createMemory(), engine.createMemory()] as const;
  readonly #coordinator: CoordinationClient;
  #progress: ReportedProgress | undefined;

  static async start(what: What, keeps: boolean, everySteps = NEVER): Promise<Job> {
    const [port] = await freePorts(1);
    const job = new Job(`127.0.0.1:${port}`, what, keeps, everySteps);
    await Promise.all(job.#workers.map((worker) => worker.read()));
    return job;
  }

  private constructor(address: string, what: What, keeps: boolean, everySteps: number) {
    const [shard, ledger] = this.#memory.map((number) => `/proc/${process.pid}/fd/${number}`) as [
      string,
      string,
    ];
    const peer = (role: 'server' | 'worker', rank: number): Peer => {
      const own = { role, rank, workers: WORKERS, servers: [address], spec: specFor(WORKERS, everySteps) };
      const kept = keeps ? { snapshotFiles: { shard, ledger } } : {};
      return startJobPeer({ ...own, ...kept }, this.#folder, what, PROCESSORS);
    };
    this.#server = peer('server', 0);
    this.#workers = Array.from({ length: WORKERS }, (_, rank) => peer('worker', rank));
    this.#coordinator = new CoordinationClient({ address, security: SECURITY, chunkBytes: MiB });
  }

  /** Milliseconds of one, as the slowest worker saw it. */
  async step(steps: number): Promise<number> {
    const answers = await Promise.all(
      this.#workers.map((worker) => worker.ask<{ seconds: number }>({ steps })),
    );
    return (1000 * Math.max(...answers.map(({ seconds }) => seconds))) / steps;
  }

  /** Milliseconds for which training has stood still for checkpoints so far. */
  async stalled(): Promise<number> {
    if (!this.#progress)
      this.#coordinator.watch<ReportedProgress>().onMessage((told) => (this.#progress = told));
    await new Promise((resolve) => setTimeout(resolve, TOLD_MS));
    return 1000 * (this.#progress?.checkpointSeconds ?? 0);
  }

  [Symbol.dispose](): void {
    this.#coordinator.close();
    for (const peer of [...this.#workers, this.#server]) peer[Symbol.dispose]();
    for (const number of this.#memory) closeSync(number);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Both sides a turn each; the first turn warms up. */
async function snapshotRow(
  name: string,
  what: What,
  steps: number,
  bar: number,
): Promise<{ row: Row; step: Sample }> {
  using keeping = await Job.start(what, true);
  using plain = await Job.start(what, false);
  const times: [number[], number[]] = [[], []];
  for (let turn = -1; turn < REPEATS; turn++)
    for (const [side, job] of [keeping, plain].entries()) {
      const milliseconds = await job.step(steps);
      if (turn >= 0) times[side]!.push(milliseconds);
    }
  const [ours, peer] = times.map(summarize) as [Sample, Sample];
  const note = 'SGD with momentum; every step can be gone back to';
  return {
    row: compared({ name, unit: 'ms', bar, peerName: 'kept by nobody', note }, ours, peer),
    step: peer,
  };
}

async function checkpointRow(step: Sample): Promise<Row> {
  using job = await Job.start({ net: 'resnet20' }, true, CHECKPOINT_EVERY);
  await job.step(CHECKPOINT_EVERY);
  const stalls: number[] = [];
  let before = await job.stalled();
  for (let turn = 0; turn < REPEATS; turn++) {
    await job.step(CHECKPOINT_EVERY);
    const after = await job.stalled();
    stalls.push(after - before);
    before = after;
  }
  return limited(
    { name: 'stall of a checkpoint, ResNet-20', unit: 'ms', note: `limit: ${100 * BAR} % of a step` },
    summarize(stalls),
    BAR * step.median,
  );
}

const resnet = await snapshotRow(
  'training step in kept memory, ResNet-20, 2 workers',
  { net: 'resnet20' },
  4,
  1 + BAR,
);
const large = await snapshotRow(
  'exchange of 25 MiB in kept memory, 2 workers',
  { floats: (25 * MiB) / 4 },
  16,
  1.25,
);
const rows = [resnet.row, large.row, await checkpointRow(resnet.step)];
report('snapshots', rows, { lepton: engine.versions.engine });
process.exitCode = rows.every(({ holds }) => holds) ? 0 : 1;
