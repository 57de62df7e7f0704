// The deliberately plain second implementation: one loop, no messages, no faults. What every run of the protocol must equal.

export interface Job {
  readonly workers: number;
  readonly steps: number;
  readonly stepsPerEpoch: number;
  /** One number per chunk. */
  readonly chunks: number;
  readonly state: number;
  readonly clipNorm?: number;
}

export interface Counted {
  readonly samples: number;
  readonly sum: number;
}

export interface Result {
  readonly parameters: readonly number[];
  readonly epochs: readonly Counted[];
}

export const LEARNING_RATE = 0.05;
const round = Math.fround;

/** Any function of (rank, step, parameters) that makes the order of sums and a wrong version visible. */
export function contribution(
  rank: number,
  step: number,
  chunk: number,
  parameters: readonly number[],
): number {
  const own = parameters[chunk]!;
  const other = parameters[(chunk + 1) % parameters.length]!;
  return round(Math.sin(1 + rank * 1.7 + step * 0.3 + chunk) * 10 ** (rank - 1) + 0.25 * own - 0.1 * other);
}

/** The last step of an epoch is smaller. */
export function samplesOf(job: Job, rank: number, step: number): number {
  return (step + 1) % job.stepsPerEpoch === 0 ? rank % 3 : 4;
}

export function lossOf(rank: number, step: number, parameters: readonly number[]): number {
  return round(parameters[0]! * 0.1 + rank + step / 7);
}

export function initial(chunk: number): number {
  return round(1 / (chunk + 3));
}

/** `trail`: workers of each step, where their number changed. */
export function train(job: Job, trail: readonly number[] = []): Result {
  let parameters = Array.from({ length: job.chunks }, (_, chunk) => initial(chunk));
  const epochs: Counted[] = [];
  for (let step = 0; step < job.steps; step++) {
    if (step % job.stepsPerEpoch === 0) epochs.push({ samples: 0, sum: 0 });
    const counted = epochs.at(-1) as { samples: number; sum: number };
    const sums = parameters.map(() => 0);
    let weights = 0;
    for (let rank = 0; rank < (trail[step] ?? job.workers); rank++) {
      const samples = samplesOf(job, rank, step);
      weights += samples / 4;
      if (samples > 0)
        parameters.forEach((_, chunk) => {
          sums[chunk] = round(
            sums[chunk]! + round((samples / 4) * contribution(rank, step, chunk, parameters)),
          );
        });
      counted.samples += samples;
      counted.sum += samples > 0 ? samples * lossOf(rank, step, parameters) : 0;
    }
    const scale = weights > 0 ? 1 / weights : 0;
    const trainable = job.chunks - job.state;
    const norm = Math.sqrt(
      sums.slice(0, trainable).reduce((total, sum) => total + sum * sum * scale * scale, 0),
    );
    const factor = job.clipNorm !== undefined && norm > job.clipNorm ? job.clipNorm / norm : 1;
    parameters = parameters.map((old, chunk) => {
      if (scale === 0) return old;
      if (chunk >= trainable) return round(sums[chunk]! * scale);
      return round(old - LEARNING_RATE * round(sums[chunk]! * (scale * factor)));
    });
  }
  return { parameters, epochs };
}
