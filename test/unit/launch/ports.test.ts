// Free ports differ from each other and are none that a kernel gives to outgoing connections.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePorts } from '../../../worker/launch/ports.ts';

test('many ports at once: all differ, none may be that of a connection', async () => {
  const ports = await freePorts(300);
  assert.equal(new Set(ports).size, 300);
  assert.ok(
    ports.every((port) => port >= 1024 && port < 32_768),
    ports.join(' '),
  );
});
