/** One relay with a directory and a consumer, as all cases of a verdict test share it. */
import { PlcDirectory } from '../../scripts/fleet/plc-directory.ts';
import { RecordingConsumer } from '../helpers/recording-consumer.ts';
import { RelayProcess } from '../helpers/relay-process.ts';
import { eventually } from '../helpers/stream-checker.ts';
import { Ledger } from './ledger.ts';
import { Scene } from './scene.ts';

/** A host is dialled again within a second, however often it failed. */
const ENV = { RELAY_RECONNECT_MAX: '1s' };

export class World {
  readonly directory: PlcDirectory;
  readonly consumer: RecordingConsumer;
  readonly ledger: Ledger;
  readonly #scenes: Scene[] = [];
  readonly #env: Record<string, string>;
  #relay: RelayProcess;
  #nameCount = 0;

  private constructor(directory: PlcDirectory, relay: RelayProcess, env: Record<string, string>) {
    this.directory = directory;
    this.#relay = relay;
    this.#env = env;
    this.consumer = new RecordingConsumer(() => this.#relay.streamUrl, 0);
    this.ledger = new Ledger(this.consumer);
  }

  static async start(env: Record<string, string> = {}): Promise<World> {
    const directory = await PlcDirectory.start();
    const all = { RELAY_PLC_HOST: directory.url, ...ENV, ...env };
    return new World(directory, await RelayProcess.start({ env: all }), all);
  }

  get relay(): RelayProcess {
    return this.#relay;
  }

  /** A number that nobody had before, for names of hosts and accounts. */
  nextNumber(): number {
    this.#nameCount += 1;
    return this.#nameCount;
  }

  /** A host that the relay reads, with two accounts that have sent their first commit. */
  async newScene(): Promise<Scene> {
    const scene = new Scene(this);
    this.#scenes.push(scene);
    await scene.open();
    return scene;
  }

  /** kill -9, and a relay on the same data. Its counters begin at 0. */
  async killAndRestart(): Promise<void> {
    const { dataDir } = this.#relay;
    await this.#relay.kill();
    this.#relay = await RelayProcess.start({ dataDir, env: this.#env });
  }

  /** A clean stop, something while it is down, and a relay on the same data. */
  async restart(whileDown: (dataDir: string) => void = () => {}): Promise<void> {
    const { dataDir } = this.#relay;
    await this.#relay.kill('SIGTERM');
    whileDown(dataDir);
    this.#relay = await RelayProcess.start({ dataDir, env: this.#env });
  }

  /** A second consumer, from the start of the log, gets what the first one got. */
  async readAgain(): Promise<RecordingConsumer> {
    const again = new RecordingConsumer(() => this.#relay.streamUrl, 0);
    await eventually(() => again.lastSeq >= this.consumer.lastSeq, 10_000);
    again.stop();
    return again;
  }

  async stop(): Promise<void> {
    this.consumer.stop();
    await this.#relay.dispose();
    await Promise.all(this.#scenes.map((scene) => scene.stop()));
    await this.directory.stop();
  }
}
