// A histogram that somebody else has filled, told at scrape time: prom-client's own takes nothing but single observations.
import type { Metric, Registry } from 'prom-client';

export interface ToldSeries {
  readonly labels: Readonly<Record<string, string>>;
  /** Observations by bucket: one number for each bound, and one for what is above all. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** One line of a scrape. */
interface Line {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export interface ToldHistogramOptions {
  readonly name: string;
  readonly help: string;
  /** Upper bounds of the buckets, rising, without the last one of all. */
  readonly bounds: readonly number[];
  readonly series: () => Iterable<ToldSeries>;
}

export class ToldHistogram {
  readonly name: string;
  readonly #options: ToldHistogramOptions;

  constructor(options: ToldHistogramOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** A registry asks nothing of a metric but these; its types say more than it does. */
  register(registry: Registry): void {
    registry.registerMetric(this as unknown as Metric);
  }

  get(): { name: string; help: string; type: 'histogram'; values: Line[] } {
    const { name, help, series } = this.#options;
    return { name, help, type: 'histogram', values: [...series()].flatMap((each) => this.#lines(each)) };
  }

  #lines({ labels, counts, sum }: ToldSeries): Line[] {
    const { name, bounds } = this.#options;
    let count = 0;
    const buckets = [...bounds, '+Inf'].map((le, at) => {
      count += counts[at] ?? 0;
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}
