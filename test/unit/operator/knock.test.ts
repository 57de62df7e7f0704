// A knock tells whether somebody listens, once, in time, and says not a word itself. Real sockets on the loopback interface.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { knock } from '../../../operator/leptonjob/knock.ts';

const asked = (address: string): Promise<boolean> => new Promise((resolve) => knock(address, resolve));

async function listening(host = '127.0.0.1') {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return { server, port: (server.address() as { port: number }).port };
}

test('somebody listens: so it is told, and not a byte is sent', { timeout: 10_000 }, async () => {
  const { server, port } = await listening();
  const heard: Buffer[] = [];
  const over = once(server, 'connection').then(async ([socket]) => {
    socket.on('data', (data: Buffer) => heard.push(data));
    await once(socket, 'close');
  });
  assert.equal(await asked(`127.0.0.1:${port}`), true);
  await over;
  assert.deepEqual(heard, []);
  server.close();
});

test('addresses of IPv6 are written in brackets', { timeout: 10_000 }, async () => {
  const { server, port } = await listening('::1');
  assert.equal(await asked(`[::1]:${port}`), true);
  server.close();
});

test('nobody listens, or the address is none: so it is told', { timeout: 10_000 }, async () => {
  const { server, port } = await listening();
  await new Promise((resolve) => server.close(resolve));
  assert.deepEqual(await Promise.all([`127.0.0.1:${port}`, 'nobody.invalid:1', '///:::', ''].map(asked)), [
    false,
    false,
    false,
    false,
  ]);
});

test('packets that nobody answers count as nobody, after some seconds', { timeout: 30_000 }, async () => {
  // A stopped process whose queue of connections is full: the kernel drops what else comes.
  const program = `require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () {
    console.log(this.address().port); process.kill(process.pid, 'SIGSTOP'); })`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(said.toString());
  const queued = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  await pause(200);
  assert.equal(await asked(`127.0.0.1:${port}`), false);
  for (const socket of queued) socket.destroy();
  child.kill('SIGKILL');
});

test('called off: never tells', { timeout: 10_000 }, async () => {
  const { server, port } = await listening();
  let told = 0;
  for (const address of [`127.0.0.1:${port}`, '127.0.0.1:1', '///:::']) knock(address, () => told++)();
  await pause(200);
  assert.equal(told, 0);
  server.close();
});
