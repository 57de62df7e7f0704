// The CustomResourceDefinition of LeptonJob as plain data: names, version, columns, schema. Writes no file.
import { GROUP, KIND, leptonJobSchema, VERSION } from './leptonjob.ts';
import { statusSchema } from './status.ts';
import { type StructuralSchema, toStructural } from './structural.ts';

export const PLURAL = 'leptonjobs';
export const CRD_NAME = `${PLURAL}.${GROUP}`;

/** The schema of a whole LeptonJob, as an API server holds it: metadata is the server's own business. */
export function leptonJobStructural(): StructuralSchema {
  const root = toStructural(leptonJobSchema);
  const { properties: { apiVersion, kind, spec } = {}, required, ...rest } = root;
  const properties = {
    apiVersion,
    kind,
    metadata: { type: 'object' },
    spec,
    status: toStructural(statusSchema),
  };
  return { ...rest, required: required ?? [], properties: properties as Record<string, StructuralSchema> };
}

/** `priority: 1` shows with `-o wide` alone. */
const COLUMNS = [
  { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
  { name: 'Ready', type: 'integer', jsonPath: '.status.worker.ready', description: 'Workers that are ready' },
  { name: 'Workers', type: 'integer', jsonPath: '.spec.worker.replicas' },
  { name: 'Step', type: 'integer', jsonPath: '.status.progress.step' },
  { name: 'Steps', type: 'integer', jsonPath: '.status.progress.steps' },
  { name: 'Loss', type: 'number', jsonPath: '.status.progress.loss' },
  { name: 'Samples/s', type: 'number', jsonPath: '.status.progress.samplesPerSecond' },
  { name: 'Goodput', type: 'number', jsonPath: '.status.goodput.ratio' },
  { name: 'Restarts', type: 'integer', jsonPath: '.status.restarts', priority: 1 },
  { name: 'Waiting', type: 'string', jsonPath: '.status.waiting.on', priority: 1 },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
] as const;

export function customResourceDefinition() {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: CRD_NAME },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind: KIND,
        listKind: `${KIND}List`,
        plural: PLURAL,
        singular: 'leptonjob',
        shortNames: ['lj'],
        categories: ['lepton'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: {
            status: {},
            scale: {
              specReplicasPath: '.spec.worker.replicas',
              statusReplicasPath: '.status.worker.replicas',
              labelSelectorPath: '.status.worker.selector',
            },
          },
          additionalPrinterColumns: COLUMNS,
          schema: { openAPIV3Schema: leptonJobStructural() },
        },
      ],
    },
  };
}
