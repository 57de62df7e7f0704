// What may stand in the values of charts/lepton: one schema. The part `config` is the operator's own schema, without what the chart
// fills in itself.
import { z } from 'zod';
import { operatorConfigSchema } from '../operator/config.ts';

const name = () => z.string().max(253);
const stringMap = () => z.record(z.string(), z.string());
/** Parts of a PodSpec: checked by the API server. */
const object = () => z.record(z.string(), z.unknown());

const image = (repository: string) =>
  z
    .strictObject({
      repository: z.string().min(1).default(repository).describe('Name without tag'),
      tag: z.string().max(128).default('').describe('Empty: the version of the chart'),
      digest: z
        .string()
        .regex(/^(sha256:[0-9a-f]{64})?$/)
        .default('')
        .describe('sha256:…; wins over the tag'),
      pullPolicy: z
        .enum(['Always', 'IfNotPresent', 'Never'])
        .default('IfNotPresent')
        .describe('When to pull'),
    })
    .prefault({});

const enabled = (preset: boolean, what: string) => z.boolean().default(preset).describe(what);
const labels = (preset: Record<string, string> = {}) =>
  stringMap().default(preset).describe('Further labels, by which it is selected');

const configSchema = operatorConfigSchema
  .omit({ image: true, imagePullPolicy: true, imagePullSecrets: true, leaderElection: true, ports: true })
  .prefault({})
  .describe('What the operator is told');

const metricsSchema = z
  .strictObject({
    serviceMonitor: z
      .strictObject({
        enabled: enabled(false, 'Make one'),
        interval: z
          .string()
          .regex(/^[0-9]+(ms|s|m|h)$/)
          .default('30s')
          .describe('Between two scrapes'),
        labels: labels(),
      })
      .prefault({})
      .describe('ServiceMonitor of the Prometheus operator'),
    prometheusRule: z
      .strictObject({ enabled: enabled(false, 'Make one'), labels: labels() })
      .prefault({})
      .describe('PrometheusRule with the alerts'),
    dashboard: z
      .strictObject({ enabled: enabled(false, 'Make one'), labels: labels({ grafana_dashboard: '1' }) })
      .prefault({})
      .describe('ConfigMap with the Grafana dashboard'),
  })
  .prefault({})
  .describe('Objects for monitoring');

export const valuesSchema = z
  .strictObject({
    global: object().optional().describe('Given by Helm to charts that use this one; not read'),
    images: z
      .strictObject({
        operator: image('lepton/operator').describe('Image of the operator'),
        worker: image('lepton/worker').describe(
          'Image of workers and parameter servers; templates of jobs may name others',
        ),
      })
      .prefault({})
      .describe('Images'),
    imagePullSecrets: z
      .array(name().min(1))
      .default([])
      .describe(
        'Names of pull secrets: of the operator’s namespace for its own pod, of each job’s namespace for training pods',
      ),
    replicas: z
      .int()
      .min(0)
      .max(10)
      .default(1)
      .describe('Pods of the operator; one leads, the others wait for it to go'),
    resources: z
      .strictObject({
        requests: z
          .record(z.string(), z.union([z.string(), z.number()]))
          .optional()
          .describe('Asked for'),
        limits: z
          .record(z.string(), z.union([z.string(), z.number()]))
          .optional()
          .describe('Never exceeded'),
      })
      .default({ requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '512Mi' } })
      .describe('Resources of the operator'),
    nodeSelector: stringMap().default({}).describe('Labels of nodes that the operator may run on'),
    tolerations: z.array(object()).default([]).describe('Taints that the operator tolerates'),
    affinity: object().default({}).describe('Affinity of the operator'),
    priorityClassName: name().default('').describe('PriorityClass of the operator'),
    podAnnotations: stringMap().default({}).describe('Annotations of the operator’s pods'),
    config: configSchema,
    crds: z
      .strictObject({
        install: enabled(true, 'Install and upgrade the CRD with the chart'),
        keep: enabled(true, 'On uninstall the CRD and every job stay'),
      })
      .prefault({})
      .describe('CustomResourceDefinition of LeptonJob'),
    serviceAccount: z
      .strictObject({
        create: enabled(true, 'Make one'),
        name: name().default('').describe('Empty: the name of the release'),
        annotations: stringMap().default({}).describe('Its annotations'),
      })
      .prefault({})
      .describe('ServiceAccount of the operator'),
    rbac: z
      .strictObject({
        create: enabled(true, 'Make the roles and bindings'),
        aggregate: enabled(true, 'Let the cluster’s view, edit and admin roles see and write jobs'),
      })
      .prefault({})
      .describe('Rights'),
    podDisruptionBudget: z
      .strictObject({
        enabled: enabled(false, 'Make one; for more than one replica'),
        maxUnavailable: z
          .union([z.int().min(0), z.string().regex(/^[0-9]+%$/)])
          .default(1)
          .describe('Replicas that may be away at once'),
      })
      .prefault({})
      .describe('PodDisruptionBudget of the operator'),
    networkPolicy: z
      .strictObject({
        enabled: enabled(true, 'Only the two ports of the operator may be reached'),
        metricsFrom: z
          .array(object())
          .default([])
          .describe('NetworkPolicyPeers that may read the metrics; empty: everybody'),
      })
      .prefault({})
      .describe('NetworkPolicy of the operator’s own pod'),
    metrics: metricsSchema,
  })
  .describe('Values of the chart');
