// Every order of events where steps do without the slowest worker: workers as slow as can be, what the coordinator decides known to one
// server long before the other, workers that are lost between any two events while what they have said is under way, and servers that
// are lost, after which everybody goes back to a checkpoint. Held to: every server makes a step of the gradients of its quorum, of each
// once and of no others; all of those were computed with the parameters of the step, as are evaluations; their samples count once, and
// no others; who has ended is refused; everybody comes to the last step.
import { testEveryOrder } from './explore.ts';
import { QuorumWorld, type Size } from './quorum-world.ts';

const COPIED = {
  chunks: 1,
  checkpointEvery: 3,
  losses: 0,
  returns: 0,
  evaluates: false,
  clips: false,
  shared: false,
  apart: false,
  prompt: false,
} as const;
const SHARED = { ...COPIED, shared: true } as const;

const SIZES: readonly Size[] = [
  { ...COPIED, workers: 3, servers: 1, steps: 2, losses: 1 },
  { ...SHARED, workers: 2, servers: 1, steps: 2, losses: 1, returns: 1, checkpointEvery: 1, evaluates: true },
  { ...SHARED, workers: 2, servers: 2, steps: 1, losses: 1 },
  { ...COPIED, workers: 2, servers: 2, steps: 2, losses: 1, prompt: true },
  { ...COPIED, workers: 2, servers: 2, chunks: 2, steps: 2, apart: true, prompt: true },
  { ...SHARED, workers: 3, servers: 2, steps: 3, prompt: true },
  { ...SHARED, workers: 3, servers: 1, steps: 2, returns: 1 },
  { ...SHARED, workers: 2, servers: 2, steps: 2, returns: 1, prompt: true },
  { ...SHARED, workers: 2, servers: 2, steps: 2, prompt: true, clips: true },
];

testEveryOrder(SIZES, (size) => new QuorumWorld(size));
