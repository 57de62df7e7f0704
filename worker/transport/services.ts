// The two services as grpc-js wants them, loaded from protos/.
import { join } from 'node:path';
import {
  type GrpcObject,
  loadPackageDefinition,
  logVerbosity,
  type ServiceClientConstructor,
  setLogVerbosity,
} from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';

const PROTOS = join(import.meta.dirname, '../../protos');

/** Numbers above 2^53 do not occur (epochs, steps and samples count far below it). */
export function plainDefinitions(): PackageDefinition {
  return loadSync(['lepton/coordination/v1/coordination.proto', 'lepton/exchange/v1/exchange.proto'], {
    includeDirs: [PROTOS],
    longs: Number,
    defaults: true,
    oneofs: true,
  });
}

interface Services {
  readonly coordination: ServiceClientConstructor;
  readonly exchange: ServiceClientConstructor;
}

let loaded: Services | undefined;

export function services(): Services {
  if (!loaded) {
    // Its findings come to us as errors; standard error belongs to our log.
    setLogVerbosity(logVerbosity.NONE);
    const root = loadPackageDefinition(plainDefinitions());
    loaded = {
      coordination: serviceAt(root, ['lepton', 'coordination', 'v1', 'Coordination']),
      exchange: serviceAt(root, ['lepton', 'exchange', 'v1', 'Exchange']),
    };
  }
  return loaded;
}

function serviceAt(root: GrpcObject, path: readonly string[]): ServiceClientConstructor {
  let at: unknown = root;
  for (const part of path) at = (at as GrpcObject)[part];
  return at as ServiceClientConstructor;
}
