// Our side of the engine's benchmark: the same nets as torch_peer.py, the same commands on standard input and output.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type EngineModel, engine, type Profile } from '../native/engine.ts';
import { Random } from '../worker/random/philox.ts';
import { compiledNet, NETS, samplesOf } from './nets.ts';

class Training {
  readonly #model: EngineModel;
  readonly #optimizer: ReturnType<typeof engine.createOptimizer>;
  readonly #batch: number;
  readonly #x: Float32Array | Int32Array;
  readonly #y: Int32Array;
  #step = 0;

  constructor(name: string, profile: boolean) {
    const { batch, shape } = NETS[name]!;
    const { model, losses } = compiledNet(name);
    this.#model = engine.createModel(model.graph, { losses, profile });
    this.#model.parameters.set(model.initialParameters(this.#model.layout, 0));
    this.#optimizer = engine.createOptimizer(
      { optimizer: 'sgd', momentum: 0.9, nesterov: false },
      this.#model.layout.trainableLength,
    );
    const random = new Random(0, 'bench');
    this.#batch = batch;
    this.#x = samplesOf(name, random);
    this.#y = Int32Array.from({ length: batch }, () => random.integer(shape[0] === 2 ? 2 : 10));
  }

  async step(): Promise<void> {
    await this.compute();
    this.#optimizer.update(
      this.#model.parameters as Float32Array,
      this.#model.gradients as Float32Array,
      0,
      this.#model.layout.trainableLength,
      { learningRate: 0.001, iteration: ++this.#step },
    );
  }

  async compute(): Promise<void> {
    await this.#model.trainStep([this.#x], [this.#y], { batchSize: this.#batch, step: this.#step });
  }

  profile(): Profile {
    return this.#model.profile();
  }
}

function peakBytes(): number {
  const [, kibibytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))!;
  return Number(kibibytes) * 1024;
}

interface Command {
  readonly make?: string;
  readonly profile?: boolean;
  readonly steps?: number;
}

const say = (answer: object): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);

let training: Training | undefined;

async function carryOut({ make, profile, steps }: Command): Promise<object> {
  if (make !== undefined) {
    training = new Training(make, profile ?? false);
    return { ready: true };
  }
  if (steps === undefined) return { peakBytes: peakBytes() };
  const sums = { library: 0, own: 0, reorder: 0 };
  const start = performance.now();
  for (let i = 0; i < steps; i++) {
    await training!.step();
    const { library, own, reorder } = training!.profile();
    sums.library += library;
    sums.own += own;
    sums.reorder += reorder;
  }
  return { seconds: (performance.now() - start) / 1000, ...sums };
}

const { engine: version, library, isa } = engine.versions;
say({ version: `${version} (${library}, ${isa})` });
for await (const line of createInterface({ input: process.stdin }))
  say(await carryOut(JSON.parse(line) as Command));
