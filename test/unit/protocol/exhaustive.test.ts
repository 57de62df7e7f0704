// Every order of events in a small world, over the real Exchange: pushes of two chunks in any order, repetitions of what was
// said before (also by a session that ended), deliveries, and workers that are lost between any two of these.
import assert from 'node:assert/strict';
import { consistencyOf } from '../../../crds/leptonjob.ts';
import { Exchange } from '../../../worker/protocol/exchange.ts';
import type { ExchangeEffect, ExchangeMessage } from '../../../worker/protocol/exchange-messages.ts';
import { testEveryOrder, type World } from './explore.ts';

interface Size {
  readonly workers: number;
  readonly steps: number;
  readonly losses: number;
  readonly repetitions: number;
  /** Updates wait for the norm of the whole gradient, which may come at any moment and a second time. */
  readonly clips: boolean;
}
type Push = Extract<ExchangeMessage, { kind: 'push' }>;
type Event =
  | { readonly kind: 'attend' | 'pull' | 'receive' | 'lose'; readonly rank: number }
  | { readonly kind: 'push'; readonly rank: number; readonly chunk: number }
  | { readonly kind: 'norm'; readonly step: number }
  | { readonly kind: 'repeat'; readonly said: number };

const CHUNKS = [0, 1];
const FIRST_EPOCH = 1;

class Worker {
  phase: 'away' | 'attended' | 'training' = 'away';
  epoch: number;
  step = 0;
  versions = CHUNKS.map(() => -1);
  pushed = CHUNKS.map(() => false);
  inbox: [chunk: number, step: number][] = [];

  constructor(epoch: number) {
    this.epoch = epoch;
  }
}

class SmallWorld implements World<Event> {
  readonly #size: Size;
  readonly #exchange: Exchange;
  readonly #workers: Worker[];
  readonly #sessions: number[];
  readonly #clocks = CHUNKS.map(() => 0);
  readonly #held = CHUNKS.map(() => new Map<number, number>());
  readonly #sums = CHUNKS.map(() => [] as number[]);
  readonly #said: Push[] = [];
  #epoch = FIRST_EPOCH;
  #losses = 0;
  #repetitions = 0;
  /** Steps whose norm was reported; those below #answered were answered. */
  #reported = 0;
  #answered = 0;

  constructor(size: Size) {
    this.#size = size;
    const chunks = CHUNKS.map((index) => ({ index, from: index, to: index + 1, state: false }));
    this.#exchange = new Exchange({
      workers: size.workers,
      chunks,
      clipByNorm: size.clips,
      consistency: consistencyOf({}),
    });
    this.#exchange.step({ kind: 'load', epoch: FIRST_EPOCH, step: 0 });
    this.#workers = Array.from({ length: size.workers }, () => new Worker(++this.#epoch));
    this.#sessions = this.#workers.map(() => FIRST_EPOCH);
  }

  due(): Event[] {
    const norms: Event[] = this.#answered < this.#reported ? [{ kind: 'norm', step: this.#answered }] : [];
    const events = this.#workers.flatMap((worker, rank): Event[] => {
      if (worker.phase === 'away') return [{ kind: 'attend', rank }];
      if (worker.phase === 'attended') return [{ kind: 'pull', rank }];
      const events: Event[] = worker.inbox.length > 0 ? [{ kind: 'receive', rank }] : [];
      if (worker.step === this.#size.steps || worker.versions.some((version) => version < worker.step))
        return events;
      const missing = CHUNKS.filter((chunk) => !worker.pushed[chunk]);
      return [...events, ...missing.map((chunk) => ({ kind: 'push', rank, chunk }) as const)];
    });
    return [...norms, ...events];
  }

  faults(): Event[] {
    const { losses, repetitions } = this.#size;
    const lose =
      this.#losses < losses ? this.#workers.map((_, rank) => ({ kind: 'lose', rank }) as const) : [];
    const repeat =
      this.#repetitions < repetitions ? this.#said.map((_, said) => ({ kind: 'repeat', said }) as const) : [];
    const again = this.#repetitions < repetitions && this.#answered > 0;
    const norm: Event[] = again ? [{ kind: 'norm', step: this.#answered - 1 }] : [];
    return [...lose, ...repeat, ...norm];
  }

  happen(event: Event): void {
    if (event.kind === 'repeat') {
      this.#repetitions++;
      this.#deliver(this.#said[event.said]!);
      return;
    }
    if (event.kind === 'norm') {
      if (event.step === this.#answered) this.#answered++;
      else this.#repetitions++;
      this.#carryOut(this.#exchange.step({ kind: 'norm', step: event.step, factor: 1 }));
      return;
    }
    const { rank } = event;
    const worker = this.#workers[rank]!;
    const speaker = { rank, epoch: worker.epoch };
    switch (event.kind) {
      case 'lose':
        this.#losses++;
        this.#workers[rank] = new Worker(++this.#epoch);
        break;
      case 'attend': {
        const attended = this.#exchange.step({ kind: 'attend', ...speaker }).at(-1)!;
        assert.ok(attended.kind === 'attended', `attend was answered with ${attended.kind}`);
        this.#sessions[rank] = worker.epoch;
        worker.step = attended.step;
        worker.phase = 'attended';
        break;
      }
      case 'pull':
        worker.phase = 'training';
        this.#carryOut(this.#exchange.step({ kind: 'pull', step: worker.step, ...speaker }));
        break;
      case 'receive':
        this.#receive(worker);
        break;
      case 'push': {
        worker.pushed[event.chunk] = true;
        const push: Push = {
          kind: 'push',
          step: worker.step,
          chunk: event.chunk,
          weight: 1,
          learningRate: 1,
          ...speaker,
        };
        this.#said.push(push);
        this.#deliver(push);
      }
    }
  }

  #deliver(push: Push): void {
    const effects = this.#exchange.step(push);
    if (push.epoch >= this.#sessions[push.rank]!) {
      this.#carryOut(effects, push);
      return;
    }
    const [refusal] = effects;
    assert.ok(
      effects.length === 1 && refusal?.kind === 'refuse' && refusal.code === 'OLD_EPOCH',
      'an ended session was heard',
    );
  }

  #receive(worker: Worker): void {
    const [chunk, step] = worker.inbox.shift()!;
    assert.ok(
      step === worker.step || step === worker.step + 1,
      `version ${step} came to a worker at ${worker.step}`,
    );
    assert.ok(step > worker.versions[chunk]!, `version ${step} of a chunk came twice`);
    worker.versions[chunk] = step;
    if (worker.versions.some((version) => version <= worker.step)) return;
    worker.step++;
    worker.pushed.fill(false);
  }

  #carryOut(effects: readonly ExchangeEffect[], push?: Push): void {
    for (const effect of effects) {
      if (effect.kind === 'refuse') assert.fail(`a session that lives was refused: ${effect.message}`);
      if (effect.kind === 'hold') {
        assert.equal(push!.step, this.#clocks[effect.chunk], 'a gradient of another step was taken');
        assert.ok(!this.#held[effect.chunk]!.has(effect.rank), 'a gradient was taken twice');
        this.#held[effect.chunk]!.set(effect.rank, push!.step);
      }
      if (effect.kind === 'accumulate') {
        assert.ok(this.#held[effect.chunk]!.has(effect.rank), 'a gradient was summed that never came');
        this.#sums[effect.chunk]!.push(effect.rank);
      }
      if (effect.kind === 'reportNorm')
        assert.equal(effect.step, this.#reported++, 'a norm was reported out of turn');
      if (effect.kind === 'update') this.#update(effect.chunk, effect.version);
      if (effect.kind === 'send')
        for (const rank of effect.ranks)
          if (this.#workers[rank]!.epoch === this.#sessions[rank])
            this.#workers[rank]!.inbox.push([effect.chunk, effect.step]);
    }
  }

  #update(chunk: number, step: number): void {
    assert.equal(step, this.#clocks[chunk]);
    if (this.#size.clips) assert.ok(step < this.#answered, 'an update did not wait for the norm');
    assert.deepEqual(
      this.#sums[chunk],
      this.#workers.map((_, rank) => rank),
      'a sum is not every rank once, in order',
    );
    this.#sums[chunk] = [];
    this.#held[chunk]!.clear();
    this.#clocks[chunk]!++;
  }

  assertEnded(): void {
    const { steps } = this.#size;
    for (const [rank, worker] of this.#workers.entries())
      assert.deepEqual([worker.step, ...worker.versions], [steps, steps, steps], `worker ${rank} is stuck`);
    assert.ok(this.#exchange.isComplete(steps));
  }

  key(): string {
    const held = this.#held.map((ranks) => [...ranks.keys()].sort());
    const said = this.#said.map(({ rank, epoch, step, chunk }) => `${rank} ${epoch} ${step} ${chunk}`).sort();
    const spent = [this.#epoch, this.#losses, this.#repetitions, this.#reported, this.#answered];
    return JSON.stringify([this.#workers, this.#sessions, this.#clocks, held, this.#sums, said, spent]);
  }
}

const SIZES: readonly Size[] = [
  { workers: 2, steps: 2, losses: 0, repetitions: 1, clips: false },
  { workers: 2, steps: 1, losses: 2, repetitions: 0, clips: false },
  { workers: 3, steps: 1, losses: 1, repetitions: 0, clips: false },
  { workers: 2, steps: 2, losses: 1, repetitions: 1, clips: false },
  { workers: 2, steps: 2, losses: 1, repetitions: 1, clips: true },
];

testEveryOrder(SIZES, (size) => new SmallWorld(size));
