// The minor versions of Kubernetes that build.sh knows, and how they differ for the tests.

const MINORS = ['1.35', '1.36', '1.37'] as const;
export type Minor = (typeof MINORS)[number];

/** `LEPTON_KUBERNETES`, or the newest. Throws where it is none that build.sh knows. */
export function minorOf(environment: NodeJS.ProcessEnv = process.env): Minor {
  const asked = environment['LEPTON_KUBERNETES'] ?? '1.37';
  const minor = MINORS.find((known) => known === asked);
  if (minor) return minor;
  throw new RangeError(`LEPTON_KUBERNETES: expected one of ${MINORS.join(', ')}, got ${asked}`);
}

/** What the gang scheduling of Kubernetes itself needs: gates, and versions of scheduling.k8s.io to serve. */
export const GANG_SCHEDULING: Readonly<Record<Minor, { readonly gates: string; readonly served: string }>> = {
  '1.35': {
    gates: 'GenericWorkload=true,GangScheduling=true',
    served: 'scheduling.k8s.io/v1alpha1=true',
  },
  '1.36': {
    gates: 'GenericWorkload=true,GangScheduling=true',
    served: 'scheduling.k8s.io/v1alpha2=true',
  },
  '1.37': {
    gates: 'GenericWorkload=true',
    served: 'scheduling.k8s.io/v1beta1=true,scheduling.k8s.io/v1alpha3=true',
  },
};
