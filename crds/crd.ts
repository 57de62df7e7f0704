// The CustomResourceDefinition of LeptonJob as plain data: names, version, columns, schema. Writes no file.
import { GROUP, KIND, leptonJobSchema, VERSION } from './leptonjob.ts';
import { statusSchema } from './status.ts';
import { type StructuralSchema, toStructural } from './structural.ts';

const PLURAL = 'leptonjobs';
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

const COLUMNS = [
  { name: 'Phase', type: 'string', jsonPath: '.status.phase' },
  { name: 'Step', type: 'integer', jsonPath: '.status.progress.step' },
  { name: 'Steps', type: 'integer', jsonPath: '.status.progress.steps' },
  { name: 'Workers', type: 'integer', jsonPath: '.spec.worker.replicas' },
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
          subresources: { status: {} },
          additionalPrinterColumns: COLUMNS,
          schema: { openAPIV3Schema: leptonJobStructural() },
        },
      ],
    },
  };
}
