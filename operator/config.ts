// What a cluster administrator decides about the operator: one schema, from which the chart's values are checked as well.
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const port = (value: number) => z.int().min(0).max(65_535).default(value);
const seconds = (value: number) => z.number().min(0.05).max(86_400).default(value);
const quantities = () => z.record(z.string().min(1), z.union([z.string().min(1), z.number()]));
const resources = () =>
  z
    .strictObject({
      requests: quantities().optional().describe('Asked for'),
      limits: quantities().optional().describe('Never exceeded'),
    })
    .prefault({});

export const operatorConfigSchema = z
  .strictObject({
    image: z.string().min(1).describe('Image of workers and parameter servers'),
    imagePullPolicy: z
      .enum(['Always', 'IfNotPresent', 'Never'])
      .default('IfNotPresent')
      .describe('When nodes pull it'),
    imagePullSecrets: z
      .array(z.string().min(1))
      .default([])
      .describe('Names of pull secrets of the jobs’ namespaces'),
    namespaces: z
      .array(z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/))
      .default([])
      .describe('Namespaces that are watched; empty: all'),
    concurrency: z.int().min(1).max(256).default(16).describe('Jobs that are worked on at once'),
    podSecurity: z
      .enum(['restricted', 'baseline', 'off'])
      .default('restricted')
      .describe('Pod templates beyond this Pod Security Standard are refused'),
    serviceAccounts: z
      .array(z.string().min(1))
      .default(['default'])
      .describe('Service accounts that pod templates may name; their tokens are never mounted'),
    runAsUser: z
      .int()
      .min(1)
      .max(2_147_483_647)
      .default(65_532)
      .describe('User and group of the training pods'),
    networkPolicy: z
      .boolean()
      .default(true)
      .describe('One NetworkPolicy per job: only its own pods and the operator may connect'),
    resources: z
      .strictObject({
        worker: resources().describe('Of workers'),
        parameterServer: resources().describe('Of parameter servers'),
      })
      .prefault({})
      .describe('Resources of pods whose template names none'),
    leaderElection: z
      .strictObject({
        enabled: z.boolean().default(true).describe('Whether to ask for a Lease before working'),
        namespace: z.string().min(1).default('default').describe('Namespace of the Lease'),
        name: z.string().min(1).default('lepton-operator').describe('Name of the Lease'),
      })
      .prefault({})
      .describe('One of several operators works'),
    ports: z
      .strictObject({
        health: port(8081).describe('Of /livez and /readyz'),
        metrics: port(8080).describe('Of /metrics'),
      })
      .prefault({})
      .describe('0: any free port'),
    perJobMetrics: z.boolean().default(true).describe('Series with the name of each job'),
    times: z
      .strictObject({
        progressSeconds: seconds(10).describe('Between two writes of progress to a status'),
        discoverySeconds: seconds(60).describe('Between two looks at which gang schedulers are served'),
        stopSeconds: seconds(120).describe('For the checkpoint of a run that is stopped'),
        nodeLostSeconds: seconds(60).describe('A node that says nothing for this long is lost'),
        heartbeatSeconds: seconds(60).describe(
          'A worker or coordinator that runs and is not heard for this long is replaced',
        ),
        stallSeconds: seconds(1800).describe(
          'Where training runs and no step ends for this long, those that everybody waits for are replaced; processes give up by themselves after an hour',
        ),
        forceDeleteSeconds: seconds(60).describe(
          'A pod that should be gone for this long is removed by force',
        ),
      })
      .prefault({})
      .describe('How long things may take'),
  })
  .describe('The operator');

export type OperatorConfig = z.output<typeof operatorConfigSchema>;

/** A JSON file. Throws naming the file and the fields. */
export function readOperatorConfig(path: string): OperatorConfig {
  const checked = operatorConfigSchema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
  if (checked.success) return checked.data;
  throw new RangeError(`${path}: ${z.prettifyError(checked.error)}`);
}
