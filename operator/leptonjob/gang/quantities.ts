// Sums of Kubernetes quantities (`500m`, `2Gi`, `1e3`), exact to a thousandth. Pure.

const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};
const QUANTITY = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i))?$/;

/** In thousandths, rounded up; undefined where it is no quantity. */
export function thousandthsOf(quantity: unknown): bigint | undefined {
  const match = QUANTITY.exec(String(quantity));
  if (!match) return undefined;
  const [, digits = '', exponent = '', suffix = ''] = match;
  const value = Number(`${digits}${exponent}`) * SUFFIXES[suffix]! * 1000;
  // The product of a decimal fraction may miss the whole number that is meant by a bit.
  return BigInt(Math.ceil(Number(value.toPrecision(15))));
}

export function quantityOf(thousandths: bigint): string {
  return thousandths % 1000n === 0n ? String(thousandths / 1000n) : `${thousandths}m`;
}

type Amounts = Readonly<Record<string, unknown>>;

interface Container {
  readonly resources?: { readonly requests?: Amounts; readonly limits?: Amounts };
}

/** What a pod asks for, in thousandths by resource: its containers together, or one that runs before them if that is more. */
export function requestsOf(spec: {
  readonly containers?: readonly Container[];
  readonly initContainers?: readonly Container[];
}): Map<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const container of spec.containers ?? [])
    for (const [name, amount] of requestOf(container)) sums.set(name, (sums.get(name) ?? 0n) + amount);
  for (const container of spec.initContainers ?? [])
    for (const [name, amount] of requestOf(container))
      if (amount > (sums.get(name) ?? 0n)) sums.set(name, amount);
  return sums;
}

/** Where only a limit is given, it is the request as well. */
function requestOf({ resources }: Container): [string, bigint][] {
  const amounts = { ...resources?.limits, ...resources?.requests };
  return Object.entries(amounts).flatMap(([name, amount]) => {
    const thousandths = thousandthsOf(amount);
    return thousandths === undefined ? [] : [[name, thousandths] as [string, bigint]];
  });
}
