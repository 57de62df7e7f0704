// Gradient codecs on one processor: bytes of float32 that are encoded and decoded a second, in turns with a copy of the same memory.
//   node bench/codecs.ts [REPEATS] [PROCESSOR]
import { execFileSync } from 'node:child_process';
import { type CodecName, engine } from '../native/engine.ts';
import { CHUNK_LENGTH } from '../worker/protocol/chunks.ts';
import { Random } from '../worker/random/philox.ts';
import { limited, type Row, report, summarize } from './report.ts';

const [repeats = '9', processor = '1'] = process.argv.slice(2);
const CHUNKS = 25; // 25 MiB: more than the caches of a processor of its own
const LENGTH = CHUNKS * CHUNK_LENGTH;
const ROUNDS = 4;
const RATIO = 0.01;
/** GB/s of float32 per processor that each encoder must reach. */
const BARS: Readonly<Record<CodecName, number>> = { bfloat16: 15, int8: 4, oneBit: 4, topK: 4 };
const CODECS = Object.keys(BARS) as CodecName[];

const gradients = new Float32Array(LENGTH);
const random = new Random(1);
for (let i = 0; i < LENGTH; i++) gradients[i] = random.normal();
const target = new Float32Array(LENGTH);

type Work = (chunk: number) => void;

function worksOf(codec: CodecName): { encode: Work; accumulate: Work; sizes: readonly number[] } {
  const encoder = engine.createEncoder({ codec }, LENGTH);
  const room = engine.encodedBytes(codec, CHUNK_LENGTH, RATIO);
  const wires = Array.from({ length: CHUNKS }, () => new Uint8Array(room + 1).subarray(1));
  const sizes = new Array<number>(CHUNKS).fill(0);
  return {
    encode: (chunk) => {
      const from = chunk * CHUNK_LENGTH;
      sizes[chunk] = encoder.encode(gradients, from, from + CHUNK_LENGTH, wires[chunk]!, RATIO);
    },
    accumulate: (chunk) => {
      const wire = wires[chunk]!.subarray(0, sizes[chunk]);
      engine.decodeAccumulate(codec, wire, target, chunk * CHUNK_LENGTH, CHUNK_LENGTH, 0.5);
    },
    sizes,
  };
}

/** GB/s of float32. */
function speedOf(work: Work): number {
  const begun = performance.now();
  for (let round = 0; round < ROUNDS; round++) for (let chunk = 0; chunk < CHUNKS; chunk++) work(chunk);
  return (ROUNDS * 4 * LENGTH) / 1e6 / (performance.now() - begun);
}

/** As time, which may not pass what the bar allows. */
function rowOf(name: string, speeds: readonly number[], copy: number, bar: number, note: string): Row {
  const milliseconds = (speed: number): number => (4 * LENGTH) / 1e6 / speed;
  const { median } = summarize(speeds);
  const said = `${median.toFixed(1)} GB/s, bar ${bar}; memcpy ${copy.toFixed(1)} GB/s${note}`;
  return limited(
    { name: `${name}, 25 MiB`, unit: 'ms', note: said },
    summarize(speeds.map(milliseconds)),
    milliseconds(bar),
  );
}

execFileSync('taskset', ['-a', '-p', '-c', processor, String(process.pid)], { stdio: 'ignore' });
const works = CODECS.map((codec) => ({ codec, ...worksOf(codec) }));
const copies: number[] = [];
const encodes = works.map((): number[] => []);
const accumulates = works.map((): number[] => []);
const copy: Work = (chunk) =>
  target.set(gradients.subarray(chunk * CHUNK_LENGTH, (chunk + 1) * CHUNK_LENGTH), chunk * CHUNK_LENGTH);
for (let turn = -1; turn < Number(repeats); turn++) {
  const times = [
    speedOf(copy),
    ...works.flatMap(({ encode, accumulate }) => [speedOf(encode), speedOf(accumulate)]),
  ];
  if (turn < 0) continue; // the first turn warms up
  copies.push(times[0]!);
  for (const i of works.keys()) {
    encodes[i]!.push(times[1 + 2 * i]!);
    accumulates[i]!.push(times[2 + 2 * i]!);
  }
}
const copied = summarize(copies).median;
const rows = works.flatMap(({ codec, sizes }, i) => {
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  const smaller = `; ${((4 * LENGTH) / bytes).toFixed(2)} x fewer bytes`;
  const feedback = codec === 'bfloat16' ? '' : ', with error feedback';
  return [
    rowOf(`${codec}, encode`, encodes[i]!, copied, BARS[codec], smaller + feedback),
    rowOf(`${codec}, decode and add`, accumulates[i]!, copied, BARS[codec], ''),
  ];
});
report('codecs', rows, { engine: engine.versions.engine, isa: engine.versions.isa });
