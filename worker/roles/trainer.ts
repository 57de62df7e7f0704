// A worker's loop: join, collect parameters, compute its share of the step, push, repeat. Decides nothing about others.

import { type Consistency, hasBackup, isLeased } from '../../crds/leptonjob.ts';
import type { Memory } from '../../native/engine.ts';
import { type RoleConfig, serverPlacesIn } from '../../protos/role-config.ts';
import type { Batch } from '../data/dataset.ts';
import { CHUNK_LENGTH } from '../protocol/chunks.ts';
import { RuntimeError } from '../protocol/errors.ts';
import type { Directive, Ending } from '../protocol/gather.ts';
import type { Totals } from '../protocol/ledger.ts';
import { type Pace, paceOf, type Work } from '../protocol/pace.ts';
import { openTrace } from '../trace/open.ts';
import type { PhaseClock } from '../trace/phase-times.ts';
import { CoordinationClient, ExchangeClient } from '../transport/clients.ts';
import type { PeerOptions } from '../transport/peer.ts';
import { Arenas } from './arenas.ts';
import { type Meeting, pushInitial, type SessionOptions } from './attendance.ts';
import { Batches } from './batches.ts';
import { evaluateShare } from './evaluation.ts';
import { GradientEncoder } from './gradient-codec.ts';
import { clipFactor, LocalRounds } from './local-rounds.ts';
import type { Log } from './log.ts';
import { openSecurity } from './open-security.ts';
import type { Plan } from './plan.ts';
import { Pulse } from './pulse.ts';
import { type Ready, Session, type Share } from './session.ts';
import type { Workload } from './workload.ts';

const NOTHING_DONE: Totals = { samples: 0, sums: [] };
const JOIN_CALL_MS = 15_000;
const RETRY_MS = 100;

/** The coordinator's last directive, or that the job goes on without this worker. */
export type End = Directive | 'leave' | 'terminated';

/** Where a step reads and writes. */
interface Places {
  readonly parameters: Memory;
  readonly gradients: Memory;
}

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
  readonly #batches: Batches;
  /** Where the job exchanges after many steps. */
  readonly #local: LocalRounds | undefined;
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
    this.#batches = new Batches({ ...workload, seed: config.seed, rank: config.rank });
    if (workload.consistency.mode === 'localSteps') this.#local = new LocalRounds(workload);
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
    const { engine, engineModel, gradientCodec, consistency, optimizer } = this.#workload;
    for (;;) {
      const request = { rank, attempt, plan: this.#planText };
      const answer = await this.#coordinator.join(request, JOIN_CALL_MS);
      if (answer.leave) return undefined;
      const { epoch, initialize, chunkLength, workers } = answer;
      this.#pace = this.#paceWith(workers);
      const options: SessionOptions = {
        servers,
        places: serverPlacesIn(this.#config),
        rank,
        epoch,
        chunkLength,
        layout: engineModel.layout,
        arenas: new Arenas(engine, engineModel.layout, testing.sharedMemory && !isLeased(consistency)),
        meeting: meetingOf(consistency),
        leased: (batch) => this.#batches.prepare(batch, workers),
        callMs: deadlines.callSeconds * 1000,
        stallMs: deadlines.stallSeconds * 1000,
        ...(gradientCodec
          ? {
              encoder: new GradientEncoder(
                engine,
                gradientCodec,
                engineModel.layout.trainableLength,
                optimizer,
              ),
            }
          : {}),
        delay: { maxMs: testing.delayMs, seed: testing.delaySeed },
        trace: this.#trace,
      };
      if (!initialize) return options;
      this.#log('info', 'bringing the initial parameters');
      await pushInitial(options, this.#workload.initialParameters());
    }
  }

  async #train(session: Session, { epoch, arenas, meeting }: SessionOptions): Promise<End> {
    let batches: AsyncIterator<Batch> | undefined;
    let follows = -1;
    try {
      for (;;) {
        this.#pulse.waits();
        const waitsSinceMs = performance.now();
        const ready = session.ready();
        ready.catch(() => {}); // seen by the race or not at all
        const next = await Promise.race([ready, this.#asked.promise]);
        if (!next) return await this.#leaveBetweenSteps(session);
        this.#pulse.waited();
        this.#trace.span('wait', next.step, waitsSinceMs);
        this.#lastProgressMs = performance.now();
        const places = { parameters: arenas.parameters(next.version), gradients: arenas.gradients };
        this.#workload.engineModel.bind(places.parameters, places.gradients);
        if (meeting === 'everyStep' || next.directive !== 'train')
          await this.#maybeEvaluate(next.step, epoch);
        if (next.directive === 'evaluate') session.passed();
        else if (next.directive !== 'train') return await this.#end(session, next.directive);
        else if (this.#local) await this.#round(session, next, places);
        else if (meeting === 'byLease') await this.#batch(session, next.step, arenas.gradients);
        else {
          if (next.step !== follows) {
            await batches?.return?.();
            batches = this.#batches.from(next.step, this.#pace.workers);
          }
          follows = next.step + 1;
          await this.#step(session, next.step, batches!);
        }
      }
    } finally {
      await batches?.return?.();
    }
  }

  async #end(session: Session, directive: Ending): Promise<End> {
    await this.#pulse.finish();
    await session.over();
    return directive;
  }

  async #leaveBetweenSteps(session: Session): Promise<End> {
    await session.drain();
    this.#log('info', 'left between two steps');
    return 'terminated';
  }

  async #step(session: Session, step: number, batches: AsyncIterator<Batch>): Promise<void> {
    const asksSinceMs = performance.now();
    const next = await batches.next();
    this.#trace.span('data', step, asksSinceMs);
    if (next.done) throw new RuntimeError('INTERNAL', `step ${step}: the data ended`);
    const batch = next.value;
    const share = this.#shareOf(step, batch.size, this.#workload.learningRate(step, this.#pace.steps));
    session.computing();
    const record =
      batch.size === 0
        ? NOTHING_DONE
        : await this.#compute(
            batch,
            step,
            (from) => session.pushFrom(from, share),
            () => session.isOvertaken(step),
          );
    session.pushEnd(share, record);
    this.#pulse.trained(step + 1, batch.size);
    session.computed();
  }

  /** A leased batch. */
  async #batch(session: Session, number: number, { values }: Memory): Promise<void> {
    const { workers, steps } = this.#pace;
    const { learningRate, clip } = this.#workload;
    const clock = Math.floor(number / workers);
    const asksSinceMs = performance.now();
    const batch = await this.#batches.take(number, workers);
    this.#trace.span('data', number, asksSinceMs);
    const share = {
      step: number,
      clock,
      weight: batch.size / this.#workload.batchSize,
      learningRate: learningRate(clock, steps),
      flush: this.#precedesCheckpoint(clock),
    };
    session.computing();
    // The norm of a gradient is known when all of it is.
    const leave = clip.norm === undefined ? (from: number) => session.pushFrom(from, share) : () => {};
    const record = batch.size === 0 ? NOTHING_DONE : await this.#compute(batch, number, leave);
    if (clip.norm !== undefined && batch.size > 0) this.#clip(values, clip.norm);
    session.pushEnd(share, record);
    this.#pulse.trained(clock + 1, batch.size);
    session.computed();
  }

  #clip(gradients: Float32Array, limit: number): void {
    const { engine, engineModel } = this.#workload;
    const { trainableLength } = engineModel.layout;
    const factor = clipFactor(engine, gradients, trainableLength, limit);
    if (factor === 1) return;
    for (let at = 0; at < trainableLength; at++) gradients[at] = gradients[at]! * factor;
  }

  /** A step of many batches on parameters of its own. */
  async #round(
    session: Session,
    { step, shares = [] }: Ready,
    { parameters, gradients }: Places,
  ): Promise<void> {
    const { workers, steps } = this.#pace;
    const { consistency, learningRate } = this.#workload;
    if (consistency.mode !== 'localSteps') return;
    const perWorker = consistency.steps;
    const taken = shares.length === workers ? shares : new Array<number>(workers).fill(perWorker);
    const { count, batches } = this.#batches.ofRound(step, taken);
    session.computing();
    try {
      const round = {
        count,
        batches,
        first: step * perWorker * workers,
        learningRate: (at: number) =>
          learningRate(step * perWorker + Math.floor((at * perWorker) / count), steps * perWorker),
      };
      const compute = async (batch: Batch, at: number): Promise<Totals> => {
        const totals = await this.#compute(batch, at, () => {});
        this.#pulse.trained(step, batch.size);
        return totals;
      };
      const record = await this.#local!.train(parameters, gradients, round, compute);
      session.pushEnd(this.#shareOf(step, record.samples, consistency.outerOptimizer.learningRate), record);
      this.#pulse.trained(step + 1, 0);
    } finally {
      await batches.return?.();
    }
    session.computed();
  }

  #shareOf(step: number, samples: number, learningRate: number): Share {
    const weight = samples / this.#workload.batchSize;
    return { step, clock: step, weight, learningRate, flush: this.#precedesCheckpoint(step) };
  }

  /** Gradients of a batch, which leave as they are made; its totals. `isVoid`: nobody asks for them any more. */
  async #compute(
    batch: Batch,
    step: number,
    onGradients: (from: number) => void,
    isVoid = () => false,
  ): Promise<Totals> {
    const { engineModel, metrics } = this.#workload;
    const sinceMs = performance.now();
    await this.#slowDown();
    const result = await engineModel.trainStep(batch.inputs, batch.targets, {
      batchSize: batch.size,
      step,
      onGradients,
    });
    this.#trace.span('compute', step, sinceMs);
    if (!Number.isFinite(result.loss) && !isVoid())
      throw new RuntimeError(
        'LOSS_NOT_FINITE',
        `step ${step}, rank ${this.#config.rank}: expected a finite loss, got ${result.loss}; try a smaller learning rate or clipNorm`,
      );
    const outputs = result.outputs as readonly Float32Array[];
    const totals = metrics.map(({ total }) => total(outputs, batch.targets, batch.size));
    return { samples: batch.size, sums: [result.loss * batch.size, ...totals] };
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
    return paceOf(workOf(this.#workload), workers);
  }
}

function meetingOf(consistency: Consistency): Meeting {
  if (isLeased(consistency)) return 'byLease';
  return hasBackup(consistency) ? 'byQuorum' : 'everyStep';
}

function workOf({ train, batchSize, epochs, stepsPerEpoch, consistency }: Workload): Work {
  return {
    trainSamples: train.length,
    batchSize,
    epochs,
    ...(stepsPerEpoch === undefined ? {} : { stepsPerEpoch }),
    ...(consistency.mode === 'localSteps' ? { batchesPerStep: consistency.steps } : {}),
  };
}

function planOf(workload: Workload): Plan {
  const { engineModel, gradientCodec, metrics, evaluate, modelConfig, consistency } = workload;
  return {
    ...workOf(workload),
    layout: engineModel.layout,
    consistency,
    ...updateOf(workload),
    ...(gradientCodec ? { gradientCodec } : {}),
    metrics: ['loss', ...metrics.map(({ name }) => name)],
    evaluateSamples: evaluate?.length ?? 0,
    model: modelConfig,
  };
}

/** What servers make of contributions. Of local steps: a descent along the mean of the moves. */
function updateOf({ consistency, optimizer, clip }: Workload): Pick<Plan, 'optimizer' | 'clip'> {
  if (consistency.mode !== 'localSteps') return { optimizer, clip };
  const { momentum, nesterov } = consistency.outerOptimizer;
  return { optimizer: { optimizer: 'sgd', momentum, nesterov }, clip: {} };
}
