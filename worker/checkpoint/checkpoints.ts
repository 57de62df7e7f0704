// The checkpoints of a job in a store: shard files, the commit, the newest usable one, how many are kept. No protocol.
import { createHash } from 'node:crypto';
import { bytesOf, decodeSafetensors, encodeSafetensors, floatsOf } from '../formats/safetensors.ts';
import type { ShardFile } from '../protocol/cut.ts';
import { RuntimeError } from '../protocol/errors.ts';
import { decodeManifest, encodeManifest, MANIFEST, type Manifest } from './manifest.ts';
import type { CheckpointStore } from './store.ts';

export interface ShardContent {
  readonly from: number;
  readonly to: number;
  readonly tensors: Readonly<Record<string, Float32Array>>;
}

export interface Found {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** Told about every checkpoint that is passed over, with the reason. */
export type Complain = (folder: string, reason: string) => void;

const FOLDER = /^(?<run>[a-z0-9]+)-(?<step>\d{9,})-(?<epoch>\d+)$/;

/** A folder of its own for every cut, so that no checkpoint is ever written over another. */
export function folderOf(run: string, step: number, epoch: number): string {
  return `${run}-${String(step).padStart(9, '0')}-${epoch}`;
}

export class Checkpoints {
  readonly #store: CheckpointStore;

  constructor(store: CheckpointStore) {
    this.#store = store;
  }

  async writeShard(folder: string, server: number, servers: number, shard: ShardContent): Promise<ShardFile> {
    const name = `shard-${server}-of-${servers}.safetensors`;
    const tensors = Object.entries(shard.tensors).map(([tensor, data]) => ({
      name: tensor,
      dtype: 'F32' as const,
      shape: [data.length],
      data: bytesOf(data),
    }));
    const parts = encodeSafetensors(tensors, { from: String(shard.from), to: String(shard.to) });
    await this.#store.write(`${folder}/${name}`, parts);
    const sizeBytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
    return { name, sizeBytes, sha256: sha256(parts), from: shard.from, to: shard.to };
  }

  /**
   * Makes the folder a checkpoint; then removes what is older than the newest `keep` of this run. What cannot be removed is told:
   * the checkpoint stands. Throws CHECKPOINT_WRITE_FAILED, and then nothing older was touched.
   */
  async commit(folder: string, manifest: Manifest, keep: number, complain: Complain): Promise<void> {
    await this.#store.write(`${folder}/${MANIFEST}`, [encodeManifest(manifest)]);
    await this.#prune(folder, manifest, keep).catch((error: Error) => complain(folder, error.message));
  }

  /** Gives back the room of a checkpoint that will not be committed. */
  async discard(folder: string): Promise<void> {
    await this.#remove(folder);
  }

  async #prune(folder: string, manifest: Manifest, keep: number): Promise<void> {
    const others = (await this.#folders()).filter(({ run, name }) => run === manifest.run && name !== folder);
    const committed: string[] = [];
    for (const { name, step } of others) {
      const bytes = await this.#store.read(`${name}/${MANIFEST}`);
      // A later step was damaged: this run went back behind it.
      if (step <= manifest.step && bytes && decodeManifest(bytes)) committed.push(name);
      else await this.#remove(name);
    }
    for (const name of committed.slice(keep - 1)) await this.#remove(name);
  }

  /**
   * The newest checkpoint of `run` (or of any run) whose files all are as the manifest says.
   * Damaged and uncommitted ones are passed over.
   */
  async newest(run: string | undefined, complain: Complain): Promise<Found | undefined> {
    const candidates: Found[] = [];
    for (const { name, run: owner } of await this.#folders()) {
      if (run !== undefined && owner !== run) continue;
      const bytes = await this.#store.read(`${name}/${MANIFEST}`);
      const manifest = bytes && decodeManifest(bytes);
      if (manifest) candidates.push({ folder: name, manifest });
      else
        complain(name, bytes ? 'its manifest is damaged' : 'it has no manifest, so it was never committed');
    }
    // Across runs the last written is the newest; within one run that is the furthest as well.
    if (run === undefined) candidates.sort((a, b) => (a.manifest.createdAt < b.manifest.createdAt ? 1 : -1));
    for (const found of candidates) {
      const damage = await this.#damage(found);
      if (damage === undefined) return found;
      complain(found.folder, damage);
    }
    return undefined;
  }

  async manifest(folder: string): Promise<Manifest> {
    const bytes = await this.#store.read(`${folder}/${MANIFEST}`);
    const manifest = bytes && decodeManifest(bytes);
    if (!manifest) throw new RuntimeError('CHECKPOINT_TORN', `${folder}: expected a whole ${MANIFEST}`);
    return manifest;
  }

  /** One shard's content. Throws CHECKPOINT_TORN when the file is not the one that was committed. */
  async readShard(folder: string, file: ShardFile): Promise<ShardContent> {
    const bytes = await this.#store.read(`${folder}/${file.name}`);
    const damage = damageOf(file, bytes);
    if (damage !== undefined) throw new RuntimeError('CHECKPOINT_TORN', `${folder}: ${damage}`);
    const tensors: Record<string, Float32Array> = {};
    const where = `${folder}/${file.name}`;
    for (const tensor of decodeSafetensors(bytes!, where).tensors.values())
      tensors[tensor.name] = floatsOf(tensor);
    return { from: file.from, to: file.to, tensors };
  }

  async #damage({ folder, manifest }: Found): Promise<string | undefined> {
    for (const file of manifest.files) {
      const damage = damageOf(file, await this.#store.read(`${folder}/${file.name}`));
      if (damage !== undefined) return damage;
    }
    return undefined;
  }

  /** Manifest first: a folder that is half removed is not a checkpoint. */
  async #remove(folder: string): Promise<void> {
    await this.#store.removeFile(`${folder}/${MANIFEST}`);
    await this.#store.removeFolder(folder);
  }

  /** Newest first by step, then by epoch. */
  async #folders(): Promise<{ name: string; run: string; step: number; epoch: number }[]> {
    const named = (await this.#store.folders()).flatMap((name) => {
      const groups = FOLDER.exec(name)?.groups;
      if (!groups) return [];
      return [{ name, run: groups['run']!, step: Number(groups['step']), epoch: Number(groups['epoch']) }];
    });
    return named.sort((a, b) => b.step - a.step || b.epoch - a.epoch);
  }
}

function damageOf(file: ShardFile, bytes: Uint8Array | undefined): string | undefined {
  if (!bytes) return `${file.name} is missing`;
  if (bytes.byteLength !== file.sizeBytes)
    return `${file.name}: expected ${file.sizeBytes} bytes, got ${bytes.byteLength}`;
  const digest = sha256([bytes]);
  return digest === file.sha256 ? undefined : `${file.name}: expected SHA-256 ${file.sha256}, got ${digest}`;
}

function sha256(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}
