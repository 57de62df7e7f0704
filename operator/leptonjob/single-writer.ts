// Whether a status is what this controller wrote. It is the only writer: who writes as well is answered once, then more and more
// slowly, so that two who disagree do not keep the API server busy.
import type { LeptonJobStatus } from '../../crds/status.ts';
import { essence } from './describe.ts';

/** The first are answered at once: one that made a mistake and stopped costs nothing. */
const AT_ONCE = 2;
const FIRST_DELAY_MS = 2000;
const LONGEST_DELAY_MS = 60_000;
/** After so long without another one, all is forgotten. */
const FORGIVEN_MS = 600_000;

export class SingleWriter {
  /** What was written, or sent without an answer so far. */
  readonly #own = new Set<string>();
  #foreign: { readonly count: number; readonly version: string; readonly untilMs: number } | undefined;

  sent(status: LeptonJobStatus): void {
    this.#own.add(essence(status));
  }

  written(status: LeptonJobStatus): void {
    this.#own.clear();
    this.#own.add(essence(status));
  }

  /** How long to wait before the next write, given the status that was read at this version. */
  delayMs(status: LeptonJobStatus | undefined, version: string, nowMs: number): number {
    const known = this.#own.size === 0 || this.#own.has(essence(status ?? {}));
    if (!known && this.#foreign?.version !== version) this.#count(version, nowMs);
    return Math.max(0, (this.#foreign?.untilMs ?? 0) - nowMs);
  }

  /** Statuses of somebody else in a row. */
  get foreign(): number {
    return this.#foreign?.count ?? 0;
  }

  #count(version: string, nowMs: number): void {
    const before = this.#foreign;
    const recent = before !== undefined && nowMs - before.untilMs < FORGIVEN_MS;
    const count = recent ? before.count + 1 : 1;
    const delayMs = count <= AT_ONCE ? 0 : FIRST_DELAY_MS * 2 ** (count - AT_ONCE - 1);
    const waited = recent ? Math.max(before.untilMs, nowMs) : nowMs;
    this.#foreign = { count, version, untilMs: waited + Math.min(delayMs, LONGEST_DELAY_MS) };
  }
}
