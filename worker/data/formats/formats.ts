// Every format by the name that a manifest gives it.
import type { DataFormat, DataSource } from '../../../crds/leptonjob.ts';
import type { Location } from '../bytes/byte-source.ts';
import type { SampleSource } from '../samples.ts';
import { openCifar10, openCifar100 } from './cifar.ts';
import { openIdx } from './idx.ts';

type Open = (location: Location, source: DataSource) => Promise<SampleSource>;

// Libraries that few jobs need are loaded only by those.
const FORMATS: Readonly<Record<DataFormat, Open>> = {
  idx: openIdx,
  cifar10: openCifar10,
  cifar100: openCifar100,
  csv: async (...args) => (await import('./csv.ts')).openCsv(...args),
  npy: async (...args) => (await import('./npy.ts')).openNpy(...args),
  npz: async (...args) => (await import('./npy.ts')).openNpz(...args),
  imageFolder: async (...args) => (await import('./image-folder.ts')).openImageFolder(...args),
  parquet: async (...args) => (await import('./parquet.ts')).openParquet(...args),
};

/** @throws DataError as the format's reader. */
export function openFormat(location: Location, source: DataSource): Promise<SampleSource> {
  return FORMATS[source.format](location, source);
}
