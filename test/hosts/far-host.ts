// A second host beside this one: a network namespace at the other end of a cable, with process namespaces of its own for what runs there.
// Runs inside test/cluster/cluster.sh, so nothing of it outlives the test.
import { execFile } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import type { Place, PlaceOf } from '../../worker/launch/local-job.ts';
import { Cable } from './cable.ts';

const run = promisify(execFile);

const NAME = 'far';
/** Of the pair of interfaces: ours is the only address that the other host knows. */
const NEAR_ADDRESS = '10.77.0.1';
const FAR_ADDRESS = '10.77.0.2';

/** Workers live there; servers listen on the loopback interface here, which nobody there reaches but through the cable. */
export class FarHost implements AsyncDisposable {
  readonly cable: Cable;
  /** Address of a server here -> address of its end of the cable. */
  readonly #doors = new Map<string, Promise<string>>();

  private constructor(seed: number) {
    this.cable = new Cable(seed);
  }

  /** Throws where this process is not in a network of its own: it would change that of the machine. */
  static async make(seed = 0): Promise<FarHost> {
    const others = Object.keys(networkInterfaces()).filter((name) => name !== 'lo');
    if (others.length > 0)
      throw new Error(
        `expected a network with a loopback interface alone, found ${others.join(', ')}: start it with test/cluster/cluster.sh`,
      );
    await ip(`netns add ${NAME}`);
    try {
      await ip(`link add near type veth peer name eth0 netns ${NAME}`);
      await ip(`addr add ${NEAR_ADDRESS}/30 dev near`);
      await ip('link set near up');
      await ip(`-n ${NAME} addr add ${FAR_ADDRESS}/30 dev eth0`);
      await ip(`-n ${NAME} link set lo up`);
      await ip(`-n ${NAME} link set eth0 up`);
      return new FarHost(seed);
    } catch (error) {
      await ip(`netns delete ${NAME}`);
      throw error;
    }
  }

  /** Workers for which `isFar` holds live there, all others here. */
  readonly placing =
    (isFar: (rank: number) => boolean = () => true): PlaceOf =>
    async (role, rank, servers): Promise<Place | undefined> => {
      if (role !== 'worker' || !isFar(rank)) return undefined;
      const doors = await Promise.all(servers.map((server) => this.#doorTo(server)));
      return { enter: ENTER, servers: doors };
    };

  /** Unlike a cut of the cable, of which TCP hears nothing, this loses packets. */
  unplug(): Promise<void> {
    return ip('link set near down');
  }

  plug(): Promise<void> {
    return ip('link set near up');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cable[Symbol.asyncDispose]();
    // Both ends at once; with their host the kernel would end them some time later.
    await ip('link delete near');
    await ip(`netns delete ${NAME}`);
  }

  #doorTo(server: string): Promise<string> {
    const known = this.#doors.get(server);
    if (known) return known;
    const { hostname, port } = new URL(`tcp://${server}`);
    const door = this.cable
      .open({ host: NEAR_ADDRESS, port: 0 }, { host: hostname, port: Number(port) })
      .then((at) => `${at.host}:${at.port}`);
    this.#doors.set(server, door);
    return door;
  }
}

/** Processes of two hosts do not see each other's memory: they find that out because their process namespaces differ. */
const ENTER: readonly string[] = [
  'nsenter',
  `--net=/run/netns/${NAME}`,
  'unshare',
  '--pid',
  '--fork',
  '--kill-child=KILL',
  '--mount-proc',
];

async function ip(command: string): Promise<void> {
  await run('ip', command.split(' '));
}
