// The thread of a parameter server that lives in a worker's process.
import { parentPort, workerData } from 'node:worker_threads';
import { engine } from '../../native/engine.ts';
import type { RoleConfig } from '../../protos/role-config.ts';
import { codeOf } from './exit-codes.ts';
import { LEAVE, type Word } from './hosted-server.ts';
import { stderrLog } from './log.ts';
import { type Leaving, runServer } from './run-server.ts';

const config = workerData as RoleConfig;
const say = (word: Word): void => parentPort!.postMessage(word);
const leaving: Leaving = { prepare: async () => {} };

parentPort!.on('message', (message) => {
  const left = (): void => say({ kind: 'left' });
  if (message === LEAVE) leaving.prepare().then(left, left);
});

runServer(config, engine, stderrLog(`server-${config.rank}`), leaving).then(
  (words) => say({ kind: 'ended', words }),
  (error: Error) => say({ kind: 'failed', code: codeOf(error) ?? 'INTERNAL', message: error.message }),
);
