// Between operator and API server: passes every request on, or does to it what the test says. Plain HTTP towards the operator.

import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent, request as requestUpstream } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import type { ControlPlane } from '../cluster/control-plane.ts';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly isWatch: boolean;
  /** Of objects that count: leases and events apart. */
  readonly isWrite: boolean;
}

export type Fault =
  | { readonly kind: 'pass' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** The connection breaks before the server has heard of it. */
  | { readonly kind: 'drop' }
  /** The server does it, its answer is lost. */
  | { readonly kind: 'loseAnswer'; readonly onDone?: () => void }
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly retryAfter?: number;
      readonly reason?: string;
      /** Instead of a Status: what the server said at another time. */
      readonly body?: string;
    }
  /** What a watch says comes so much later. */
  | { readonly kind: 'hold'; readonly ms: number }
  /** A watch that ends after so many bytes, inside a line or not. */
  | { readonly kind: 'cut'; readonly bytes: number }
  /** Every line of a watch goes through this; undefined: nobody hears of it. */
  | { readonly kind: 'lines'; readonly edit: (line: string) => string | undefined }
  /** The server gets the request a second time, and what it says to that is the answer. */
  | { readonly kind: 'twice' }
  /** The server is asked for something else. */
  | { readonly kind: 'ask'; readonly path: string }
  /** It lies somewhere on the way. */
  | { readonly kind: 'queue'; readonly until: Promise<void> }
  /** Neither answer nor end. */
  | { readonly kind: 'silence' };

export class FaultProxy implements AsyncDisposable {
  /** Asked for every request. */
  rule: (request: SeenRequest) => Fault = () => ({ kind: 'pass' });
  writes = 0;
  lastWriteMs = 0;
  requests = 0;
  readonly #plane: ControlPlane;
  readonly #server: Server;
  readonly #agent: Agent;
  readonly #sockets = new Set<Socket>();
  #dead = false;
  /** Connections that were open at a freeze: half of them lives on. */
  readonly #frozen = new WeakSet<Socket>();

  private constructor(plane: ControlPlane) {
    this.#plane = plane;
    const ca = readFileSync(join(plane.folder, 'certificates', 'apiserver.crt'));
    this.#agent = new Agent({ keepAlive: true, ca });
    this.#server = createServer((request, response) => this.#handle(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      if (this.#dead) socket.destroy();
    });
  }

  static async start(plane: ControlPlane): Promise<FaultProxy> {
    const proxy = new FaultProxy(plane);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get kubeConfig(): KubeConfig {
    const { port } = this.#server.address() as AddressInfo;
    const config = this.#plane.kubeConfig();
    const made = new KubeConfig();
    made.loadFromOptions({
      clusters: [{ name: 'proxy', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }],
      users: config.users,
      contexts: [{ name: 'proxy', cluster: 'proxy', user: config.users[0]!.name }],
      currentContext: 'proxy',
    });
    return made;
  }

  /** From here on nothing of this operator reaches the server: what SIGKILL looks like from there. */
  kill(): void {
    this.#dead = true;
    this.breakConnections();
  }

  /** What is open now stays open and says nothing any more; new connections work. */
  freeze(): void {
    for (const socket of this.#sockets) this.#frozen.add(socket);
  }

  /** Everything that is open breaks; new connections are served by the rule. */
  breakConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    this.#agent.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const { method = 'GET', url = '/' } = request;
    const counted = !/\/(leases|events)(\/|\?|$)/.test(url);
    const seen: SeenRequest = {
      method,
      path: url,
      isWatch: /[?&]watch=true/.test(url),
      isWrite: method !== 'GET' && counted,
    };
    this.requests++;
    const fault = this.rule(seen);
    if (this.#dead || fault.kind === 'drop') {
      request.socket.destroy();
      return;
    }
    if (fault.kind === 'silence' || this.#frozen.has(request.socket)) return;
    if (fault.kind === 'answer') {
      const { status, retryAfter, reason = 'Faulty', body } = fault;
      const headers = retryAfter === undefined ? {} : { 'Retry-After': String(retryAfter) };
      response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
      const words = { kind: 'Status', code: status, reason, message: 'the proxy says so' };
      response.end(body ?? JSON.stringify(words));
      return;
    }
    if (seen.isWrite) {
      this.writes++;
      this.lastWriteMs = performance.now();
    }
    if (fault.kind === 'twice') void this.#twice(request, response);
    else if (fault.kind === 'queue') void fault.until.then(() => this.#pass(request, response, fault));
    else setTimeout(() => this.#pass(request, response, fault), fault.kind === 'delay' ? fault.ms : 0);
  }

  async #twice(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    const ask = () =>
      new Promise<IncomingMessage>((resolve, reject) => {
        const options = { method: request.method, headers: headersOf(request), agent: this.#agent };
        const upstream = requestUpstream(new URL(request.url!, this.#plane.server), options, resolve);
        upstream.on('error', reject).end(body);
      });
    try {
      (await ask()).resume();
      const answer = await ask();
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    } catch {
      response.destroy();
    }
  }

  #pass(request: IncomingMessage, response: ServerResponse, fault: Fault): void {
    const options = { method: request.method, headers: headersOf(request), agent: this.#agent };
    const path = fault.kind === 'ask' ? fault.path : request.url!;
    const upstream = requestUpstream(new URL(path, this.#plane.server), options, (answer) => {
      if (fault.kind === 'loseAnswer' || this.#dead) {
        answer.resume();
        answer.on('end', () => {
          request.socket.destroy();
          if (fault.kind === 'loseAnswer') fault.onDone?.();
        });
        return;
      }
      response.writeHead(answer.statusCode!, answer.headers);
      response.flushHeaders();
      if (fault.kind === 'cut') this.#cut(answer, response, fault.bytes);
      else if (fault.kind === 'hold') this.#hold(answer, response, fault.ms);
      else if (fault.kind === 'lines') this.#lines(answer, response, fault.edit);
      else this.#forward(answer, request.socket, response);
      answer.on('error', () => response.destroy());
    });
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  }

  #forward(answer: IncomingMessage, socket: Socket, response: ServerResponse): void {
    answer.on('data', (part: Buffer) => void (this.#frozen.has(socket) || response.write(part)));
    answer.on('end', () => void (this.#frozen.has(socket) || response.end()));
  }

  #lines(
    answer: IncomingMessage,
    response: ServerResponse,
    edit: (line: string) => string | undefined,
  ): void {
    let rest = '';
    answer.setEncoding('utf8');
    answer.on('data', (part: string) => {
      const lines = (rest + part).split('\n');
      rest = lines.pop() as string;
      for (const line of lines) {
        const edited = edit(line);
        if (edited !== undefined) response.write(`${edited}\n`);
      }
    });
    answer.on('end', () => response.end(rest));
  }

  #hold(answer: IncomingMessage, response: ServerResponse, ms: number): void {
    answer.on('data', (part: Buffer) => void setTimeout(() => response.write(part), ms));
    answer.on('end', () => void setTimeout(() => response.end(), ms));
  }

  #cut(answer: IncomingMessage, response: ServerResponse, bytes: number): void {
    let left = bytes;
    answer.on('data', (part: Buffer) => {
      response.write(part.subarray(0, left));
      left -= part.length;
      if (left <= 0) response.destroy();
    });
    answer.on('end', () => response.end());
  }
}

function headersOf({ headers }: IncomingMessage) {
  const { host: _, connection: _2, ...kept } = headers;
  return kept;
}
