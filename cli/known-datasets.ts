// The data sets that the examples use: how to recognise them, where they may lie, how to get them. Downloads nothing.
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { DataFormat } from '../crds/leptonjob.ts';

export interface KnownDataset {
  readonly name: string;
  readonly format: DataFormat;
  readonly contents: string;
  /** A file whose presence (plain or .gz) shows that a folder holds the set. */
  readonly marker: string;
  /** Names of its folder below the places where data lies. */
  readonly folders: readonly string[];
  readonly howToGet: string;
}

export const KNOWN_DATASETS: readonly KnownDataset[] = [
  {
    name: 'fashion-mnist',
    format: 'idx',
    contents: '70,000 grey images 28 x 28, 10 kinds of clothing',
    marker: 'train-images-idx3-ubyte',
    folders: ['fashion-mnist', 'fashion-mnist/usr/share/datasets/fashion-mnist'],
    howToGet: 'scripts/datasets.sh unpacks the Debian package dataset-fashion-mnist without root',
  },
  {
    name: 'mnist',
    format: 'idx',
    contents: '70,000 grey images 28 x 28, 10 digits',
    marker: 'train-images-idx3-ubyte',
    folders: ['mnist', 'MNIST/raw'],
    howToGet: 'four files *-ubyte.gz of MNIST in one folder',
  },
  {
    name: 'cifar-10',
    format: 'cifar10',
    contents: '60,000 colour images 32 x 32, 10 classes',
    marker: 'data_batch_1.bin',
    folders: ['cifar-10-batches-bin', 'cifar-10'],
    howToGet: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz, unpacked',
  },
  {
    name: 'cifar-100',
    format: 'cifar100',
    contents: '60,000 colour images 32 x 32, 100 classes in 20 groups',
    marker: 'train.bin',
    folders: ['cifar-100-binary', 'cifar-100'],
    howToGet: 'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz, unpacked',
  },
];

/** Where data sets are looked for, the first one wins. */
export function dataPlaces(environment: NodeJS.ProcessEnv): string[] {
  const cache =
    environment['LEPTON_CACHE'] ?? join(environment['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'lepton');
  const own = environment['LEPTON_DATA'];
  return [...(own ? [own] : []), 'data', join(cache, 'datasets'), cache, '/usr/share/datasets'];
}

/** The folder that holds the set, or undefined. */
export function findDataset(dataset: KnownDataset, places: readonly string[]): string | undefined {
  const folders = places.flatMap((place) => dataset.folders.map((folder) => join(place, folder)));
  return folders.find((folder) =>
    ['', '.gz'].some((suffix) => existsSync(join(folder, dataset.marker + suffix))),
  );
}
