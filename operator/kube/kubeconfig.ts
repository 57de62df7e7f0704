// Kubeconfig files with all their ways of authentication: client-node reads them.
import { KubeConfig } from '@kubernetes/client-node';

/** `path`, else `KUBECONFIG`, ~/.kube/config, or the pod's own service account. */
export function defaultKubeConfig(path?: string, context?: string): KubeConfig {
  const config = new KubeConfig();
  if (path !== undefined) config.loadFromFile(path);
  else config.loadFromDefault();
  if (context !== undefined) config.setCurrentContext(context);
  return config;
}
