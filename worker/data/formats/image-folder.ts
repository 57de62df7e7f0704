// Images in folders, one folder per class: decoded and resized by sharp as they are read. Nothing about augmentation.
import sharp from 'sharp';
import type { DataSource } from '../../../crds/leptonjob.ts';
import { type Location, readBytes } from '../bytes/byte-source.ts';
import { DataError } from '../errors.ts';
import type { SampleSource } from '../samples.ts';

const IMAGE = /\.(?:jpe?g|png|webp|gif|tiff?|avif)$/i;
/** Larger files are no images of a training set. */
const MAX_FILE_BYTES = 256 * 2 ** 20;
const MAX_PIXELS = 2 ** 27;
/** Images decoded at the same time, each on one thread. */
const DECODERS = 4;

// Parallel over images, not within one; every image is read once, so libvips has nothing to cache.
sharp.concurrency(1);
sharp.cache(false);

/**
 * Classes are the folders' names in alphabetical order. Without `imageSize` all images must be as large as the first one.
 * @throws DataError BAD_SOURCE, EMPTY_DATASET; CORRUPT_FILE and SHAPE_MISMATCH naming the image when it is read.
 */
export async function openImageFolder(location: Location, source: DataSource): Promise<SampleSource> {
  if (location.file !== undefined)
    throw new DataError(
      'BAD_SOURCE',
      `${location.uri}: expected a folder with one folder per class, got a file`,
    );
  const files = (await location.list()).filter((name) => IMAGE.test(name) && name.includes('/'));
  if (files.length === 0)
    throw new DataError(
      'EMPTY_DATASET',
      `${location.uri}: expected images (jpg, png, webp, gif, tif, avif) in one folder per class, got none`,
    );
  const classOf = (name: string): string => name.slice(0, name.indexOf('/'));
  const names = [...new Set(files.map(classOf))].sort();
  const channels = source.channels ?? 3;
  const [height, width] = source.imageSize ?? (await sizeOfImage(location, files[0]!));
  const shape = [height!, width!, channels] as const;
  const resize = source.imageSize !== undefined;
  return {
    name: location.uri,
    length: files.length,
    shape,
    element: 'uint8',
    costly: true,
    labels: {
      kind: 'class',
      values: Int32Array.from(files, (file) => names.indexOf(classOf(file))),
      names,
      where: (index) => location.path(files[index]!),
    },
    async read(indices, into) {
      const size = shape[0] * shape[1] * channels;
      let next = 0;
      const decoder = async (): Promise<void> => {
        while (next < indices.length) {
          const at = next++;
          const pixels = await decode(location, files[indices[at]!]!, shape, resize);
          into.set(pixels, at * size);
        }
      };
      await Promise.all(Array.from({ length: DECODERS }, decoder));
    },
    async [Symbol.asyncDispose]() {},
  };
}

async function fileBytes(location: Location, file: string): Promise<Uint8Array> {
  await using source = await location.open(file);
  if (source.size <= MAX_FILE_BYTES) return await readBytes(source, 0, source.size);
  throw new DataError(
    'TOO_LARGE',
    `${source.name}: expected an image of at most ${MAX_FILE_BYTES} bytes, got ${source.size}`,
  );
}

function broken(path: string, error: unknown): DataError {
  return new DataError(
    'CORRUPT_FILE',
    `${path}: expected a whole image, got: ${(error as Error).message.trim()}`,
    {
      cause: error,
    },
  );
}

/** [height, width] as it is seen, after turning by EXIF. */
async function sizeOfImage(location: Location, file: string): Promise<[number, number]> {
  const bytes = await fileBytes(location, file);
  try {
    const { autoOrient } = await sharp(bytes, { limitInputPixels: MAX_PIXELS }).metadata();
    return [autoOrient.height, autoOrient.width];
  } catch (error) {
    throw broken(location.path(file), error);
  }
}

/** Interleaved 8-bit pixels; transparency is dropped. */
async function decode(
  location: Location,
  file: string,
  [height, width, channels]: readonly [number, number, number],
  resize: boolean,
): Promise<Uint8Array> {
  const bytes = await fileBytes(location, file);
  let image = sharp(bytes, { failOn: 'truncated', limitInputPixels: MAX_PIXELS }).autoOrient();
  if (resize) image = image.resize(width, height, { fit: 'fill' });
  image = image.removeAlpha().toColourspace(channels === 1 ? 'b-w' : 'srgb');
  const { data, info } = await image
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => {
      throw broken(location.path(file), error);
    });
  if (info.height === height && info.width === width && info.channels === channels) return data;
  const what = `${location.path(file)}: expected ${width} x ${height} pixels as in the first image (or imageSize)`;
  throw new DataError(
    'SHAPE_MISMATCH',
    `${what}, got ${info.width} x ${info.height} with ${info.channels} channels`,
  );
}
