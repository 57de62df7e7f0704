// Where samples come from and how they are prepared. Reading them is worker/data's business.
import { z } from 'zod';
import { location, positive, real, size, text, whole } from './fields.ts';
import { onlyWith, type Rule, withRules } from './rules.ts';

export const DATA_FORMATS = [
  'idx',
  'cifar10',
  'cifar100',
  'csv',
  'npy',
  'npz',
  'imageFolder',
  'parquet',
] as const;
export type DataFormat = (typeof DATA_FORMATS)[number];

/** Fields that only some formats know: given with another format they would be ignored, so they are refused. */
const ONLY_FOR: Readonly<Record<string, readonly DataFormat[]>> = {
  split: ['idx', 'cifar10', 'cifar100'],
  columns: ['csv', 'parquet'],
  labelColumn: ['csv', 'parquet'],
  features: ['npy', 'npz'],
  labels: ['npy', 'npz', 'cifar100'],
  imageSize: ['imageFolder'],
  channels: ['imageFolder'],
  augment: ['idx', 'cifar10', 'cifar100', 'npy', 'npz', 'imageFolder'],
};

const bothOrNone: Rule = {
  cel: "has(self.features) || !has(self.labels) || self.format == 'cifar100'",
  message: 'labels needs features',
  holds: (self) =>
    self['features'] !== undefined || self['labels'] === undefined || self['format'] === 'cifar100',
  got: () => 'labels alone',
};

const numbers = () => z.array(real()).min(1).max(4096);

const augmentSchema = z
  .strictObject({
    flipHorizontal: z.boolean().default(false).describe('Mirrors every other image, at random'),
    crop: z
      .strictObject({
        padding: whole(1, 256).describe(
          'Pixels of zeros around the image before a piece of its size is cut out at random',
        ),
      })
      .exactOptional()
      .describe('Random crops'),
    shift: whole(1, 256)
      .exactOptional()
      .describe(
        'Moves each image by up to this many pixels in both directions; zeros fill what becomes free',
      ),
  })
  .describe('Random changes of training images; the same seed, epoch and sample give the same change');

export const dataSourceSchema = withRules(
  z
    .strictObject({
      format: z.enum(DATA_FORMATS).describe('How the bytes are laid out'),
      uri: location().describe('Folder or file: a path, file:///path or s3://bucket/key'),
      endpoint: text(512)
        .regex(/^https?:\/\//, 'expected http://… or https://…')
        .exactOptional()
        .describe('S3-compatible endpoint of an s3:// uri; default: AWS'),
      split: z.enum(['train', 'test']).exactOptional().describe('Which part of the data set; default: train'),
      classes: z
        .array(z.union([z.int().min(0).max(1_000_000), z.string().min(1).max(64)]))
        .min(1)
        .max(1024)
        .exactOptional()
        .describe('Keep only these classes, by number or name, and number them from 0 in this order'),
      columns: z
        .array(text(128))
        .min(1)
        .max(4096)
        .exactOptional()
        .describe('Feature columns; default: all but labelColumn'),
      labelColumn: text(128).exactOptional().describe('The column with the label; default: the last one'),
      features: text(256).exactOptional().describe('npz: key of the features; npy: file of the features'),
      labels: text(256)
        .exactOptional()
        .describe('npz: key of the labels; npy: file of the labels; cifar100: `fine` (default) or `coarse`'),
      imageSize: z
        .array(size())
        .length(2)
        .exactOptional()
        .describe('[height, width] that images are resized to'),
      channels: z.literal([1, 3]).exactOptional().describe('1: grey, 3: colour (default)'),
      scale: positive()
        .exactOptional()
        .describe('Factor of every value; default: 1/255 for 8-bit images, 1 otherwise'),
      normalize: z
        .strictObject({
          mean: numbers().describe('One number, or one per channel or column'),
          deviation: z
            .array(positive())
            .min(1)
            .max(4096)
            .describe('One number, or one per channel or column'),
        })
        .exactOptional()
        .describe('(value - mean) / deviation, after scale'),
      augment: augmentSchema.exactOptional(),
      limit: whole(1, 2_147_483_647).exactOptional().describe('Use only the first samples'),
    })
    .describe('A source of samples'),
  ...Object.entries(ONLY_FOR).map(([key, formats]) => onlyWith(key, 'format', formats)),
  bothOrNone,
);

export type DataSource = z.output<typeof dataSourceSchema>;
