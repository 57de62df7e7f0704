// Kinds of object that only those who play with clusters need: the operator has no right to them.
import type { Resource } from '../../operator/kube/objects.ts';

export const NAMESPACES: Resource = {
  apiVersion: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
};
