// s3:// through the real AWS client against an object store on loopback: files, folders, pages, faults, refusals.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { bytesOf, idx, npy, open, readAll } from './files.ts';
import { type S3Server, startS3Server } from './s3-server.ts';

let store: S3Server;
before(async () => {
  process.env['AWS_ACCESS_KEY_ID'] = 'test';
  process.env['AWS_SECRET_ACCESS_KEY'] = 'test';
  store = await startS3Server();
});
after(() => store[Symbol.asyncDispose]());

test('a folder and a single object', async () => {
  store.objects.set('bucket/mnist/train-images-idx3-ubyte', idx([2, 1, 1], Uint8Array.of(0, 255)));
  store.objects.set('bucket/mnist/train-labels-idx1-ubyte', idx([2], Uint8Array.of(1, 0)));
  await using data = await open({ format: 'idx', uri: 's3://bucket/mnist', endpoint: store.endpoint });
  assert.deepEqual(await readAll(data), { x: [0, 1], y: [1, 0] });
  store.objects.set('bucket/x.npy', npy('<f4', [2], bytesOf(Float32Array.of(5, 6))));
  await using array = await open({ format: 'npy', uri: 's3://bucket/x.npy', endpoint: store.endpoint });
  assert.deepEqual((await readAll(array)).x, [5, 6]);
});

test('a folder of images, listed in pages', async () => {
  const red = await sharp({ create: { width: 2, height: 2, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  for (let i = 0; i < 8; i++) store.objects.set(`bucket/images/${i % 2 ? 'odd' : 'even'}/${i}.png`, red);
  await using data = await open({
    format: 'imageFolder',
    uri: 's3://bucket/images/',
    endpoint: store.endpoint,
  });
  assert.deepEqual([data.length, data.classNames], [8, ['even', 'odd']]);
  assert.deepEqual((await readAll(data)).x.slice(0, 3), [1, 0, 0]);
});

test('errors and broken bodies are asked for again', { timeout: 60_000 }, async () => {
  store.objects.set(
    'bucket/y.npy',
    npy('<f4', [1000], bytesOf(Float32Array.from({ length: 1000 }, (_, i) => i))),
  );
  store.faults.push(503, 'cut', 500, 'cut');
  await using data = await open({ format: 'npy', uri: 's3://bucket/y.npy', endpoint: store.endpoint });
  assert.deepEqual((await readAll(data)).x.slice(-2), [998, 999]);
  assert.deepEqual(store.faults, []);
});

test('what stays wrong is named', { timeout: 60_000 }, async () => {
  const source = { format: 'npy', endpoint: store.endpoint } as const;
  await assert.rejects(open({ ...source, uri: 's3://bucket/nothing.npy' }), /s3:\/\/bucket\/nothing.npy/);
  store.objects.set('bucket/z.npy', npy('<f4', [1], bytesOf(Float32Array.of(1))));
  store.faults.push(403, 403, 403, 403);
  await assert.rejects(open({ ...source, uri: 's3://bucket/z.npy' }), /z\.npy.*status 403/);
  store.faults.length = 0;
  await assert.rejects(open({ ...source, uri: 's3://B/x' }), { code: 'BAD_SOURCE' });
  const nobody = { format: 'npy', endpoint: 'http://127.0.0.1:9', uri: 's3://bucket/x.npy' } as const;
  await assert.rejects(open(nobody), { code: 'S3_STATUS' });
});
