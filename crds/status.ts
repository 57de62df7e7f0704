// How far a job is, as run.json keeps it and as the CRD shows it. Nothing that a user asks for.
import { z } from 'zod';
import { real } from './fields.ts';

const steps = () => z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const metrics = () => z.record(z.string(), real());

export const statusSchema = z
  .strictObject({
    phase: z
      .enum(['Starting', 'Running', 'Evaluating', 'Succeeded', 'Failed', 'Stopped'])
      .exactOptional()
      .describe('Where the job stands'),
    message: z.string().max(4096).exactOptional().describe('What happened last'),
    progress: z
      .strictObject({
        step: steps().describe('Global steps done'),
        steps: steps().describe('Global steps of the whole job'),
        epoch: steps().describe('Epoch in progress, from 1'),
        metrics: metrics().meta({ maxProperties: 64 }).exactOptional().describe('Loss and metrics'),
      })
      .exactOptional()
      .describe('How far training is'),
  })
  .describe('How far the job is');

export type LeptonJobStatus = z.output<typeof statusSchema>;
