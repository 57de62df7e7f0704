// The place in the data at which a checkpoint stands, in the steps of a job with another number of workers. Pure.
import type { LedgerState } from '../protocol/ledger.ts';
import type { Pace } from '../protocol/pace.ts';
import type { Manifest } from './manifest.ts';

/**
 * A step of more workers covers more samples, so the same place has a smaller number. Between two steps the earlier one is taken:
 * samples of less than one step are seen again, and the totals of the epoch are those of the samples before it.
 */
export function atPace(manifest: Manifest, { samplesPerStep, stepsPerEpoch, fixed }: Pace): Manifest {
  if (manifest.stepsPerEpoch === undefined) return manifest;
  if (fixed && manifest.stepsPerEpoch === stepsPerEpoch) return manifest;
  const { train, history, ...rest } = manifest.ledger;
  const inEpoch = Math.min(Math.floor(train.samples / samplesPerStep), stepsPerEpoch - 1);
  const samples = inEpoch * samplesPerStep;
  const share = train.samples > 0 ? samples / train.samples : 0;
  const step = history.length * stepsPerEpoch + inEpoch;
  const ledger: LedgerState = {
    ...rest,
    step,
    train: { samples, sums: train.sums.map((sum) => sum * share) },
    history: history.map((epoch, index) => ({ ...epoch, step: (index + 1) * stepsPerEpoch })),
  };
  return { ...manifest, step, stepsPerEpoch, ledger };
}
