// How a number of workers walks through the data: samples of a step, steps of an epoch. Pure.

/** What there is to do, whoever does it. */
export interface Work {
  readonly trainSamples: number;
  /** Per worker and step. */
  readonly batchSize: number;
  readonly epochs: number;
  /** Where the manifest says how long an epoch is: in batches of each worker. */
  readonly stepsPerEpoch?: number;
  /** Of each worker, between two exchanges. Default 1. */
  readonly batchesPerStep?: number;
}

export interface Pace {
  readonly workers: number;
  /** Of a full step; the last one of a pass may be smaller. */
  readonly samplesPerStep: number;
  readonly stepsPerEpoch: number;
  readonly steps: number;
  /** Steps keep their numbers under any number of workers: an epoch is a number of steps, not a pass over the data. */
  readonly fixed: boolean;
}

export function paceOf(work: Work, workers: number): Pace {
  const { trainSamples, batchSize, epochs, stepsPerEpoch, batchesPerStep = 1 } = work;
  const samplesPerStep = batchSize * workers * batchesPerStep;
  const perEpoch = Math.max(
    1,
    Math.ceil(stepsPerEpoch === undefined ? trainSamples / samplesPerStep : stepsPerEpoch / batchesPerStep),
  );
  return {
    workers,
    samplesPerStep,
    stepsPerEpoch: perEpoch,
    steps: epochs * perEpoch,
    fixed: stepsPerEpoch !== undefined,
  };
}

/** True where a step of this pace may begin after `samples` of an epoch: none is then seen twice or left out. */
export function mayBegin(
  { samplesPerStep, fixed }: Pick<Pace, 'samplesPerStep' | 'fixed'>,
  samples: number,
): boolean {
  return fixed || samples % samplesPerStep === 0;
}
