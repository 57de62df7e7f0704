// Everything that one cluster of two nodes is started for: the walk of the README, with faults before its end. Single rows:
//   test/cluster/cluster.sh node_modules/.bin/node --test --test-name-pattern='disk' test/e2e/end-to-end.test.ts
import { after, before } from 'node:test';
import { faultsIn } from './faults.ts';
import { type Fixture, startFixture } from './fixture.ts';
import { endIn, walkIn } from './walk.ts';

let started: (Fixture & AsyncDisposable) | undefined;
const fixture = (): Fixture => started!;

before(
  async () => {
    started = await startFixture();
  },
  { timeout: 300_000 },
);
after(() => started?.[Symbol.asyncDispose](), { timeout: 120_000 });

walkIn(fixture);
faultsIn(fixture);
endIn(fixture);
