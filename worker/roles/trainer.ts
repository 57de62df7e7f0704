// A worker's loop: join, collect parameters, compute its share of the step, push, repeat. Decides nothing about others.

import type { RoleConfig } from '../../protos/role-config.ts';
import type { Batch } from '../data/dataset.ts';
import { epochOrder, stepsPerEpoch, workerSlice } from '../data/order.ts';
import { prefetch } from '../data/prefetch.ts';
import { CHUNK_LENGTH } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { Directive } from '../protocol/gather.ts';
import { type Pace, paceOf } from '../protocol/pace.ts';
import { openTrace } from '../trace/open.ts';
import type { PhaseClock } from '../trace/phase-times.ts';
import { CoordinationClient, ExchangeClient, type PeerOptions } from '../transport/clients.ts';
import { PROTOCOL } from '../transport/services.ts';
import { Arenas } from './arenas.ts';
import { evaluateShare } from './evaluation.ts';
import { GradientEncoder } from './gradient-codec.ts';
import type { Log } from './log.ts';
import { openSecurity } from './open-security.ts';
import type { Plan } from './plan.ts';
import { Pulse } from './pulse.ts';
import { pushInitial, Session, type SessionOptions, type Share } from './session.ts';
import type { Workload } from './workload.ts';

/** Batches that are decoded ahead of the engine. */
const PREFETCH_DEPTH = 2;
const JOIN_CALL_MS = 15_000;
const RETRY_MS = 100;

/** The coordinator's last directive, or that the job goes on without this worker. */
export type End = Directive | 'leave' | 'terminated';

/** Runs until the job ends or does without this worker. */
export class Trainer {
  readonly #config: RoleConfig;
  readonly #workload: Workload;
  readonly #log: Log;
  readonly #coordinator: CoordinationClient;
  readonly #peer: (address: string) => PeerOptions;
  readonly #pulse: Pulse;
  readonly #trace: PhaseClock;
  readonly #planText: string;
  /** Of the number of workers that the newest session is one of. */
  #pace: Pace;
  #lastProgressMs = performance.now();
  readonly #asked = Promise.withResolvers<undefined>();
  readonly #ended = Promise.withResolvers<void>();
  #training = false;
  #leaving = false;

  constructor(config: RoleConfig, workload: Workload, log: Log) {
    this.#config = config;
    this.#workload = workload;
    this.#log = log;
    this.#trace = openTrace(config, log);
    const chunkBytes = 4 * Math.max(CHUNK_LENGTH, config.testing.chunkLength);
    const security = openSecurity(config.security, log);
    this.#peer = (address) => ({ address, security, chunkBytes });
    this.#coordinator = new CoordinationClient(this.#peer(config.servers[0]!));
    this.#pulse = new Pulse(this.#coordinator, config.rank, this.#trace);
    this.#planText = JSON.stringify(planOf(workload));
    this.#pace = this.#paceWith(config.workers);
  }

  async run(): Promise<End> {
    try {
      for (;;) {
        try {
          return await this.#runSession();
        } catch (error) {
          await this.#recover(error);
        }
      }
    } finally {
      this.#pulse.stop();
      this.#coordinator.close();
    }
  }

  /** This process is about to end: resolves between two steps, when the servers have all of the last one. */
  leave(): Promise<void> {
    this.#leaving = true;
    this.#asked.resolve(undefined);
    return this.#training ? this.#ended.promise : Promise.resolve();
  }

  /** A lost session is begun anew, as long as steps are made in between. */
  async #recover(error: unknown): Promise<void> {
    if (!(error instanceof RuntimeError)) throw error;
    if (!error.retryable && error.code !== 'DEADLINE_EXCEEDED') throw error;
    const stalledMs = performance.now() - this.#lastProgressMs;
    if (stalledMs > this.#config.deadlines.stallSeconds * 1000)
      throw new RuntimeError('STALLED', `no step for ${Math.round(stalledMs / 1000)} s: ${error.message}`, {
        cause: error,
      });
    this.#log('info', 'session lost, joining again', { code: error.code, reason: error.message });
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }

  /** On connections of its own: those of a lost session lead to where a server was. */
  async #runSession(): Promise<End> {
    const servers = this.#config.servers.map((address) => new ExchangeClient(this.#peer(address)));
    try {
      const options = await this.#join(servers);
      return options ? await this.#trainIn(options) : 'leave';
    } finally {
      for (const server of servers) server.close();
    }
  }

  async #trainIn(options: SessionOptions): Promise<End> {
    const session = await Session.open(options);
    this.#log('info', 'exchanging', { ...session.partners });
    try {
      this.#pulse.watch(session, options.epoch);
      this.#training = true;
      return await this.#train(session, options);
    } finally {
      this.#training = false;
      session.close();
      if (this.#leaving) this.#ended.resolve();
    }
  }

  /** Undefined where the job does without this worker. */
  async #join(servers: readonly ExchangeClient[]): Promise<SessionOptions | undefined> {
    const { rank, attempt, deadlines, testing } = this.#config;
    const { engine, engineModel, gradientCodec } = this.#workload;
    for (;;) {
      const request = { protocol: PROTOCOL, rank, attempt, plan: this.#planText };
      const answer = await this.#coordinator.join(request, JOIN_CALL_MS);
      if (answer.leave) return undefined;
      const { epoch, initialize, chunkLength, workers } = answer;
      this.#pace = this.#paceWith(workers);
      const options: SessionOptions = {
        servers,
        rank,
        epoch,
        chunkLength,
        layout: engineModel.layout,
        arenas: new Arenas(engine, engineModel.layout, testing.sharedMemory),
        callMs: deadlines.callSeconds * 1000,
        stallMs: deadlines.stallSeconds * 1000,
        ...(gradientCodec
          ? { encoder: new GradientEncoder(engine, gradientCodec, engineModel.layout.trainableLength) }
          : {}),
        delay: { maxMs: testing.delayMs, seed: testing.delaySeed },
        trace: this.#trace,
      };
      if (!initialize) return options;
      this.#log('info', 'bringing the initial parameters');
      await pushInitial(options, this.#workload.initialParameters());
    }
  }

  async #train(session: Session, { epoch, arenas }: SessionOptions): Promise<End> {
    let batches: AsyncIterator<Batch> | undefined;
    try {
      for (;;) {
        this.#pulse.waits();
        const waitsSinceMs = performance.now();
        const ready = session.ready();
        ready.catch(() => {}); // seen by the race or not at all
        const next = await Promise.race([ready, this.#asked.promise]);
        if (!next) return await this.#leaveBetweenSteps(session);
        const { step, directive } = next;
        this.#pulse.waited();
        this.#trace.span('wait', step, waitsSinceMs);
        this.#lastProgressMs = performance.now();
        this.#workload.engineModel.bind(arenas.parameters(step), arenas.gradients);
        await this.#maybeEvaluate(step, epoch);
        if (directive !== 'train') {
          await this.#pulse.finish();
          await session.over();
          return directive;
        }
        batches ??= this.#batchesFrom(step);
        await this.#step(session, step, batches);
      }
    } finally {
      await batches?.return?.();
    }
  }

  async #leaveBetweenSteps(session: Session): Promise<End> {
    await session.drain();
    this.#log('info', 'left between two steps');
    return 'terminated';
  }

  async #step(session: Session, step: number, batches: AsyncIterator<Batch>): Promise<void> {
    const { engineModel, batchSize } = this.#workload;
    const asksSinceMs = performance.now();
    const next = await batches.next();
    this.#trace.span('data', step, asksSinceMs);
    if (next.done) throw new RuntimeError('INTERNAL', `step ${step}: the data ended`);
    const batch = next.value;
    const share: Share = {
      step,
      weight: batch.size / batchSize,
      learningRate: this.#workload.learningRate(step, this.#pace.steps),
      flush: this.#precedesCheckpoint(step),
    };
    session.computing();
    if (batch.size === 0) {
      session.pushEnd(share, { samples: 0, sums: [] });
      session.computed();
      return;
    }
    const computesSinceMs = performance.now();
    await this.#slowDown();
    const result = await engineModel.trainStep(batch.inputs, batch.targets, {
      batchSize: batch.size,
      step,
      onGradients: (from) => session.pushFrom(from, share),
    });
    this.#trace.span('compute', step, computesSinceMs);
    if (!Number.isFinite(result.loss))
      throw new RuntimeError(
        'LOSS_NOT_FINITE',
        `step ${step}, rank ${this.#config.rank}: expected a finite loss, got ${result.loss}; try a smaller learning rate or clipNorm`,
      );
    const outputs = result.outputs as readonly Float32Array[];
    const metrics = this.#workload.metrics.map(({ total }) => total(outputs, batch.targets, batch.size));
    session.pushEnd(share, { samples: batch.size, sums: [result.loss * batch.size, ...metrics] });
    this.#pulse.trained(step + 1, batch.size);
    session.computed();
  }

  async #slowDown(): Promise<void> {
    const extraMs = this.#config.testing.extraStepMs[this.#config.rank] ?? 0;
    if (extraMs > 0) await new Promise((resolve) => setTimeout(resolve, extraMs));
  }

  /** Those that come by themselves: what a codec kept back is then in none of them. */
  #precedesCheckpoint(step: number): boolean {
    return (step + 1) % this.#config.spec.checkpoint.everySteps === 0 || step + 1 === this.#pace.steps;
  }

  /** At the end of an epoch, before the next step: so a worker that comes back knows from the step what it still owes. */
  async #maybeEvaluate(step: number, epoch: number): Promise<void> {
    const { evaluate } = this.#workload;
    const { workers, stepsPerEpoch: perEpoch } = this.#pace;
    if (!evaluate || step === 0 || step % perEpoch !== 0) return;
    const { rank, deadlines } = this.#config;
    this.#pulse.enter('evaluating');
    const sinceMs = performance.now();
    const totals = await evaluateShare(this.#workload, evaluate, rank, workers);
    this.#trace.span('evaluate', step, sinceMs);
    await this.#coordinator.reportEvaluation({ rank, epoch, step, totals }, deadlines.callSeconds * 1000);
    this.#pulse.enter('running');
  }

  #paceWith(workers: number): Pace {
    const { train, batchSize, epochs, stepsPerEpoch: fixed } = this.#workload;
    const work = { trainSamples: train.length, batchSize, epochs };
    return paceOf(fixed === undefined ? work : { ...work, stepsPerEpoch: fixed }, workers);
  }

  /** This rank's samples of every step from `first` on: a function of the seed alone. */
  #batchesFrom(first: number): AsyncIterator<Batch> {
    const { train, batchSize, shuffle } = this.#workload;
    const { seed, rank } = this.#config;
    const { workers } = this.#pace;
    const stepsPerPass = stepsPerEpoch(train.length, batchSize, workers);
    function* requests() {
      let pass = -1;
      let order = new Uint32Array(0);
      for (let step = first; ; step++) {
        if (Math.floor(step / stepsPerPass) !== pass) {
          pass = Math.floor(step / stepsPerPass);
          order = epochOrder(train.length, seed, pass, shuffle) as Uint32Array<ArrayBuffer>;
        }
        yield { indices: workerSlice(order, step % stepsPerPass, batchSize, rank, workers), epoch: pass };
      }
    }
    return prefetch(train, requests(), PREFETCH_DEPTH)[Symbol.asyncIterator]();
  }
}

function planOf(workload: Workload): Plan {
  const { engineModel, optimizer, gradientCodec, clip, metrics, train, evaluate, modelConfig } = workload;
  const { batchSize, epochs, stepsPerEpoch: fixed } = workload;
  return {
    layout: engineModel.layout,
    optimizer,
    ...(gradientCodec ? { gradientCodec } : {}),
    clip,
    metrics: ['loss', ...metrics.map(({ name }) => name)],
    trainSamples: train.length,
    evaluateSamples: evaluate?.length ?? 0,
    batchSize,
    epochs,
    ...(fixed === undefined ? {} : { stepsPerEpoch: fixed }),
    model: modelConfig,
  };
}
