// What accelerators a worker asks for, held against what single nodes offer. What is taken at the moment is the scheduler's matter. Pure.

/** Extended resources of one node that takes pods, by name. */
export interface Offer {
  readonly node: string;
  readonly resources: Readonly<Record<string, string>>;
}

/** Nodes that a message names. */
const NAMED = 3;

/** One sentence that says why no node could take a worker, even empty; undefined where one could. */
export function acceleratorsLacking(
  asked: Readonly<Record<string, number>> | undefined,
  offers: readonly Offer[],
): string | undefined {
  const wanted = Object.entries(asked ?? {});
  if (
    wanted.length === 0 ||
    offers.some((offer) => wanted.every(([name, count]) => amountOf(offer, name) >= count))
  )
    return undefined;
  for (const [name, count] of wanted) {
    const offering = offers.filter((offer) => amountOf(offer, name) > 0);
    const largest = Math.max(0, ...offering.map((offer) => amountOf(offer, name)));
    if (largest === 0) return `a worker asks for ${count} ${name}, and no node offers any`;
    if (largest < count)
      return `a worker asks for ${count} ${name}, and the largest node offers ${largest} (${namesOf(offering)})`;
  }
  return `a worker asks for ${wanted.map(([name, count]) => `${count} ${name}`).join(' and ')}, and no node offers all of them at once`;
}

function amountOf({ resources }: Offer, name: string): number {
  // Extended resources are whole numbers; quantities such as 2k are legal and not seen.
  const amount = Number(resources[name] ?? 0);
  return Number.isNaN(amount) ? Number.POSITIVE_INFINITY : amount;
}

function namesOf(offering: readonly Offer[]): string {
  const names = offering.slice(0, NAMED).map(({ node }) => node);
  const more = offering.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
