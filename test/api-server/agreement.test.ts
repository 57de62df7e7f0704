// One definition, two judges: what zod and a real API server think of the same random manifests, and what both make of those that
// they accept. LEPTON_RANDOM_MANIFESTS says how many (`make agreement`: 10,000).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { leptonJobStructural } from '../../crds/crd.ts';
import { leptonJobSchema } from '../../crds/leptonjob.ts';
import { dropNulls } from '../../crds/schema-walk.ts';
import { isStatus } from '../../operator/kube/errors.ts';
import { type KubeObject, pathOf, type Stored } from '../../operator/kube/objects.ts';
import { LEPTON_JOBS } from '../../operator/leptonjob/names.ts';
import { type ControlPlane, startControlPlane } from '../cluster/control-plane.ts';
import { installCrd } from '../cluster/install-crd.ts';
import { nearSchema } from '../unit/crds/random-job.ts';

const MANIFESTS = Number(process.env['LEPTON_RANDOM_MANIFESTS'] ?? 2000);
const SEED = Number(process.env['LEPTON_SEED'] ?? 1);
const AT_ONCE = 24;

let plane: ControlPlane;
before(async () => {
  plane = await startControlPlane();
  await installCrd(plane.api);
});
after(() => plane?.[Symbol.asyncDispose]());

type Manifest = KubeObject & { readonly spec?: unknown };
type Judgement = { readonly stored: unknown } | { readonly refused: string };

/** Well-formed ones, nearly well-formed ones and worse, in equal shares; as they are after a way through JSON. */
function manifests(): Manifest[] {
  const { status: _, ...properties } = leptonJobStructural().properties!;
  const schema = { ...leptonJobStructural(), properties };
  const names = fc.constantFrom('fashion', 'cat-dog', 'a', 'UPPER', '3d', 'x-', 'x'.repeat(51), '');
  const name = fc.oneof({ weight: 29, arbitrary: fc.constant('job') }, { weight: 1, arbitrary: names });
  const made = fc.oneof(nearSchema(schema, 0), nearSchema(schema, 3), nearSchema(schema, 12));
  const named = fc
    .tuple(made, name)
    .filter(([object]) => typeof object === 'object' && object !== null && !Array.isArray(object))
    .map(([object, chosen]) => ({ ...(object as object), metadata: { name: chosen } }));
  return fc
    .sample(named, { numRuns: MANIFESTS, seed: SEED })
    .map((object) => JSON.parse(JSON.stringify(object)) as Manifest);
}

const essence = ({ apiVersion, kind, spec }: Manifest) => ({ apiVersion, kind, spec });

function zodSays(manifest: Manifest): Judgement {
  const parsed = leptonJobSchema.safeParse(dropNulls(leptonJobSchema, manifest));
  return parsed.success
    ? { stored: essence(JSON.parse(JSON.stringify(parsed.data)) as Manifest) }
    : { refused: parsed.error.message };
}

async function serverSays(manifest: Manifest): Promise<Judgement> {
  const path = pathOf(LEPTON_JOBS, { namespace: 'default' });
  const query = { dryRun: 'All', fieldValidation: 'Strict' };
  try {
    const stored = await plane.api.client.call<Stored & Manifest>({
      method: 'POST',
      path,
      query,
      body: manifest,
    });
    return { stored: essence(stored) };
  } catch (error) {
    if (isStatus(error, 400, 422)) return { refused: error.message };
    throw error;
  }
}

test(`${MANIFESTS} random manifests: both accept or both refuse, and fill in the same defaults`, {
  timeout: 570_000,
}, async (context) => {
  const all = manifests();
  const waiting = all.values();
  const startedMs = performance.now();
  const wrong: string[] = [];
  let accepted = 0;
  const ask = async (): Promise<void> => {
    for (const manifest of waiting) {
      const [zod, server] = [zodSays(manifest), await serverSays(manifest)];
      if ('stored' in zod) accepted++;
      if ('stored' in zod && 'stored' in server) {
        try {
          assert.deepEqual(server.stored, zod.stored);
        } catch (error) {
          wrong.push(`${JSON.stringify(manifest)}: ${(error as Error).message}`);
        }
      } else if ('stored' in zod !== 'stored' in server)
        wrong.push(`${JSON.stringify(manifest)}\n  zod: ${said(zod)}\n  server: ${said(server)}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, ask));
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  context.diagnostic(
    `${all.length} manifests, ${accepted} accepted, ${wrong.length} disagreements, in ${seconds} s`,
  );
  assert.equal(wrong.length, 0, `${wrong.length} disagreements:\n${wrong.slice(0, 5).join('\n')}`);
  assert.ok(
    accepted > MANIFESTS / 10 && accepted < (MANIFESTS * 9) / 10,
    `${accepted} of ${MANIFESTS} were accepted: the mix shows too little`,
  );
});

const said = (judgement: Judgement): string =>
  'refused' in judgement ? `refused: ${judgement.refused.slice(0, 600)}` : 'accepted';
