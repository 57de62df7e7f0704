// Every format by the name that a manifest gives it.
import type { DataFormat, DataSource } from '../../../crds/leptonjob.ts';
import type { Location } from '../bytes/byte-source.ts';
import { DataError } from '../errors.ts';
import type { SampleSource } from '../samples.ts';
import { openCifar10, openCifar100 } from './cifar.ts';
import { openIdx } from './idx.ts';

type Open = (location: Location, source: DataSource) => Promise<SampleSource>;

const FORMATS: Partial<Record<DataFormat, Open>> = {
  idx: openIdx,
  cifar10: openCifar10,
  cifar100: openCifar100,
};

/** @throws DataError as the format's reader. */
export async function openFormat(location: Location, source: DataSource): Promise<SampleSource> {
  const open = FORMATS[source.format];
  if (!open)
    throw new DataError(
      'BAD_SOURCE',
      `${location.uri}: format: expected one of ${Object.keys(FORMATS).join(', ')}, got ${source.format}`,
    );
  return open(location, source);
}
