// The bytes of a range of floats where they lie: what messages carry and codecs read.

/** Live: no copy. `from` and `to` count floats. */
export function bytesOf(values: Float32Array, from: number, to: number): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset + 4 * from, 4 * (to - from));
}
