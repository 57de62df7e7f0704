// What a server leaves in memory for its next process, and what that makes of it after an end at any moment.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, readSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { engine } from '../../../native/engine.ts';
import { planChunks, planShards } from '../../../worker/protocol/chunks.ts';
import type { LedgerState } from '../../../worker/protocol/ledger.ts';
import { LedgerSnapshot } from '../../../worker/roles/ledger-snapshot.ts';
import { ShardArrays, type ShardArraysOptions } from '../../../worker/roles/shard-arrays.ts';
import { ShardSnapshot } from '../../../worker/roles/shard-snapshot.ts';

const OPTIMIZER = { optimizer: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const;
const LAYOUT = { trainableLength: 9000, length: 9100 };

/** Memory that this process holds, as a launcher does. */
function heldMemory(): { file: string; number: number } & Disposable {
  const number = engine.createMemory();
  return { file: `/proc/self/fd/${number}`, number, [Symbol.dispose]: () => closeSync(number) };
}

function openShard(file: string | undefined, identity = 'a'): ShardArrays {
  const shard = planShards(planChunks(LAYOUT, 4096), { dedicated: 1, hosted: 0 })[0]!;
  const trainable = LAYOUT.trainableLength;
  const options: ShardArraysOptions = {
    shard,
    trainableLength: trainable,
    optimizer: OPTIMIZER,
    sharedMemory: true,
    encodesAnswers: true,
    threads: 2,
    snapshot:
      file === undefined
        ? undefined
        : new ShardSnapshot(engine, { file, shard, trainable, optimizer: OPTIMIZER, identity }),
  };
  return new ShardArrays(engine, options);
}

/** A digest of all that a checkpoint would keep. */
function bitsOf(arrays: ShardArrays, step: number): string {
  const digest = createHash('sha256');
  for (const [name, values] of Object.entries(arrays.copy(step).tensors)) digest.update(name).update(values);
  return digest.digest('hex');
}

function begin(arrays: ShardArrays): void {
  arrays.forget();
  for (const { index, from, to } of arrays.shard.chunks)
    arrays.write(
      index,
      0,
      new Uint8Array(Float32Array.from({ length: to - from }, (_, at) => Math.sin(from + at)).buffer),
    );
  arrays.complete(0);
}

const UPDATE = { scale: 1, learningRate: 0.01, share: 1 };

function makeChunk(arrays: ShardArrays, index: number, step: number): void {
  const { from, to } = arrays.chunk(index)!;
  const values = Float32Array.from({ length: to - from }, (_, at) => Math.cos(step * 7 + from + at));
  arrays.hold(index, 0, { bytes: new Uint8Array(values.buffer), codec: '', shared: false });
  arrays.accumulate(index, 0, 1, true);
  arrays.update({ ...UPDATE, chunk: index, version: step, iteration: step + 1 });
  arrays.settle();
}

function makeStep(arrays: ShardArrays, step: number): void {
  for (const { index } of arrays.shard.chunks) makeChunk(arrays, index, step);
  arrays.complete(step + 1);
}

test('the next process has the bits of both steps that are whole, and goes on from either', () => {
  using memory = heldMemory();
  const undisturbed = openShard(undefined);
  begin(undisturbed);
  const first = openShard(memory.file);
  begin(first);
  for (let step = 0; step < 5; step++) {
    makeStep(undisturbed, step);
    makeStep(first, step);
  }
  const next = openShard(memory.file);
  assert.deepEqual([...next.heldSteps].sort(), [4, 5]);
  assert.equal(bitsOf(next, 5), bitsOf(undisturbed, 5));
  next.keepOnly(4);
  assert.deepEqual(next.heldSteps, [4]);
  for (const step of [4, 5]) makeStep(next, step);
  makeStep(undisturbed, 5);
  assert.equal(bitsOf(next, 6), bitsOf(undisturbed, 6));
});

test('wherever a step is left off, the one before is whole', () => {
  const { chunks } = openShard(undefined).shard;
  for (let made = 0; made < chunks.length; made++) {
    using memory = heldMemory();
    const first = openShard(memory.file);
    begin(first);
    makeStep(first, 0);
    makeStep(first, 1);
    const before = bitsOf(first, 2);
    for (const { index } of chunks.slice(0, made)) makeChunk(first, index, 2);
    const next = openShard(memory.file);
    assert.deepEqual([...next.heldSteps].sort(), made === 0 ? [1, 2] : [2], `${made} chunks made`);
    assert.equal(bitsOf(next, 2), before);
  }
});

test('a job that begins anew in used memory has the bits of a first one', () => {
  using memory = heldMemory();
  const used = openShard(memory.file);
  begin(used);
  for (let step = 0; step < 4; step++) makeStep(used, step);
  const anew = openShard(memory.file);
  const first = openShard(undefined);
  for (const arrays of [anew, first]) {
    begin(arrays);
    for (let step = 0; step < 3; step++) makeStep(arrays, step);
  }
  assert.equal(bitsOf(anew, 3), bitsOf(first, 3));
});

test('a step without any sample leaves parameters and state as they are', () => {
  using memory = heldMemory();
  const arrays = openShard(memory.file);
  begin(arrays);
  makeStep(arrays, 0);
  const before = bitsOf(arrays, 1);
  for (const { index } of arrays.shard.chunks) {
    arrays.accumulate(index, 0, 0, true);
    arrays.update({ ...UPDATE, chunk: index, version: 1, iteration: 2, scale: 0 });
  }
  assert.equal(bitsOf(arrays, 2), before);
});

test('what was kept under another name, and what was forgotten, is not held', () => {
  using memory = heldMemory();
  const arrays = openShard(memory.file);
  assert.deepEqual(arrays.heldSteps, []);
  begin(arrays);
  assert.deepEqual(arrays.heldSteps, [0]);
  assert.deepEqual(openShard(memory.file, 'b').heldSteps, []);
  assert.deepEqual(openShard(memory.file).heldSteps, [0]);
  openShard(memory.file).forget();
  assert.deepEqual(arrays.heldSteps, []);
});

/** An epoch ends at every step from the third on. */
function ledgerAt(step: number): LedgerState {
  const history = Array.from({ length: Math.max(0, step - 2) }, (_, at) => ({
    epoch: at + 1,
    step: at + 3,
    milliseconds: 5.5,
    train: { samples: 96, sums: [1 / 3, at] },
  }));
  return { step, train: { samples: step, sums: [step / 3] }, milliseconds: 7, history };
}

test('the next coordinator finds the ledgers of the two newest steps', () => {
  using memory = heldMemory();
  using first = new LedgerSnapshot(memory.file);
  assert.deepEqual(first.steps('a'), []);
  const checkpoint = { step: 0, folder: 'run-000000000-1' };
  for (let step = 0; step <= 6; step++) {
    first.keep('a', { ledger: ledgerAt(step), checkpoint });
    using next = new LedgerSnapshot(memory.file);
    const steps = step === 0 ? [0] : [step - 1, step];
    assert.deepEqual(next.steps('a').sort(), steps);
    assert.deepEqual(next.steps('b'), []);
    for (const one of steps) {
      const { ledger, checkpoint: newest } = next.at(one)!;
      assert.deepEqual({ ledger, newest }, { ledger: ledgerAt(one), newest: checkpoint });
    }
    assert.equal(next.identity, 'a');
  }
  using back = new LedgerSnapshot(memory.file);
  back.keepOnly('a', { ledger: back.at(5)!.ledger });
  using last = new LedgerSnapshot(memory.file);
  assert.deepEqual(last.steps('a'), [5]);
  assert.deepEqual([last.at(5)!.ledger, last.at(5)!.checkpoint], [ledgerAt(5), undefined]);
});

const PLACE_BYTES = 2 ** 32;

/** Tears every byte of a text in turn. */
function tear(number: number, place: number, look: (torn: number) => void): Buffer {
  const at = place * PLACE_BYTES;
  const whole = Buffer.alloc(8 + 8192);
  readSync(number, whole, 0, whole.length, at);
  const length = whole.readUInt32LE(0);
  assert.ok(length > 50, `place ${place}`);
  for (let torn = 0; torn < 8 + length; torn++) {
    writeSync(number, Buffer.from([whole[torn]! ^ 0x55]), 0, 1, at + torn);
    look(torn);
    writeSync(number, whole, torn, 1, at + torn);
  }
  return whole.subarray(8, 8 + length);
}

test('a ledger of which any byte is not written, or its history, leaves the one before', () => {
  using memory = heldMemory();
  using first = new LedgerSnapshot(memory.file);
  for (const step of [6, 7, 8]) first.keep('a', { ledger: ledgerAt(step) });
  const onlyBefore = (torn: number): void => {
    using next = new LedgerSnapshot(memory.file);
    assert.deepEqual(next.steps('a'), [7], `byte ${torn}`);
  };
  const text = tear(memory.number, 0, onlyBefore).toString();
  tear(memory.number, (JSON.parse(text) as { history: { place: number } }).history.place, onlyBefore);
  using again = new LedgerSnapshot(memory.file);
  assert.deepEqual(again.steps('a'), [8, 7]);
});

test('the next process goes on in the histories that it finds, and above the epochs', () => {
  using memory = heldMemory();
  for (let step = 4; step < 10; step++) {
    using process = new LedgerSnapshot(memory.file);
    process.keep('a', { ledger: ledgerAt(step) });
    assert.equal(process.epoch, step === 4 ? 0 : 2 ** 40 + step - 1);
    process.keepEpoch(2 ** 40 + step);
    using next = new LedgerSnapshot(memory.file);
    assert.deepEqual(next.steps('a').sort(), step === 4 ? [4] : [step - 1, step]);
  }
});
