// What is told about checkpoints that cannot be written. Nothing is stopped for it.
import type { LeptonJobStatus } from '../../../crds/status.ts';
import type { JobEvent, Plan, Seen } from '../job.ts';
import type { ConditionType } from '../names.ts';
import { record } from './decision.ts';

/** Once when checkpoints cannot be written any more, once when they can again; the condition says which was told last. */
export function tellCheckpoints({ report }: Seen, status: LeptonJobStatus): Plan | undefined {
  if (!report?.checkpoint) return undefined;
  const { step, failing = '' } = report.checkpoint;
  const told = isTrue(status, 'CheckpointFailing');
  if (told === (failing !== '')) return undefined;
  const event: JobEvent = told
    ? { type: 'Normal', reason: 'CheckpointWritten', message: `a checkpoint of step ${step} is written` }
    : {
        type: 'Warning',
        reason: 'CheckpointFailing',
        message: `${failing}; the newest checkpoint is that of step ${step}`,
      };
  return record(status, [event]);
}

function isTrue({ conditions = [] }: LeptonJobStatus, wanted: ConditionType): boolean {
  return conditions.some(({ type, status }) => type === wanted && status === 'True');
}
