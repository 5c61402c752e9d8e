/**
 * The database of a relay from the outside: DATABASE_URL, or a PostgreSQL of its own below the data
 * directory; brought to our schema, locked against a second relay, watched for being there.
 * Waits for a database that is down; refuses one that is newer or taken.
 * @thread main
 */
import type { Clock } from '../base/clock.ts';
import { errorText, RelayFault } from '../base/fault.ts';
import { type SupervisedLoop, supervise } from '../base/supervise.ts';
import { SECOND_MS } from '../base/units.ts';
import type { Logger } from '../logging/logger.ts';
import type { MetricWriter } from '../metrics/slots.ts';
import type { PositionWriter } from '../shared/position.ts';
import { DatabaseState } from '../shared/regions.ts';
import { type AdvisoryLock, tryAdvisoryLock } from '../store/advisory-lock.ts';
import { type EmbeddedPostgres, startEmbedded } from '../store/embedded.ts';
import { migrate } from '../store/migrate.ts';
import {
  connectionFromUrl,
  createPool,
  type DatabasePool,
  type PoolOptions,
} from '../store/pool.ts';

const PROBE_MS = 1000;
const LOCK_WAIT_MS = 10 * SECOND_MS;

export type DatabaseOptions = {
  /** '' for a PostgreSQL of our own. */
  readonly url: string;
  readonly dataDir: string;
  readonly connectionsMax: number;
  readonly timeoutMs: number;
  /** Sessions of all threads together, for the embedded server. */
  readonly sessionsMax: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: MetricWriter;
  /** Word that says whether it is there. */
  readonly state: PositionWriter;
};

export class RelayDatabase {
  readonly connection: PoolOptions['connection'];
  readonly pool: DatabasePool;
  readonly #options: DatabaseOptions;
  readonly #embedded: EmbeddedPostgres | undefined;
  #lock: AdvisoryLock | undefined;
  #probe: SupervisedLoop | undefined;

  private constructor(options: DatabaseOptions, embedded: EmbeddedPostgres | undefined) {
    this.#options = options;
    this.#embedded = embedded;
    this.connection = embedded?.connection ?? connectionFromUrl(options.url);
    this.pool = createPool({
      connection: this.connection,
      connectionsMax: options.connectionsMax,
      timeoutMs: options.timeoutMs,
      applicationName: 'skyrelay main',
      clock: options.clock,
      logger: options.logger,
      metrics: options.metrics,
    });
  }

  /** Starts the embedded server where there is no URL; connects to nothing yet otherwise. */
  static async open(options: DatabaseOptions): Promise<RelayDatabase> {
    const { dataDir, clock, logger, metrics, sessionsMax } = options;
    const embedded =
      options.url === ''
        ? await startEmbedded({ dataDir, clock, logger, metrics, connectionsMax: sessionsMax })
        : undefined;
    const database = new RelayDatabase(options, embedded);
    database.#watch();
    return database;
  }

  /** One word for the banner. */
  get kind(): string {
    return this.#embedded === undefined ? 'external' : 'embedded';
  }

  /**
   * Migrates and takes the lock. Throws a retryable `RelayFault` while the database is down,
   * `schema_newer` and `database_locked` for good.
   */
  async prepare(): Promise<void> {
    const { clock, logger, timeoutMs } = this.#options;
    const common = { connection: this.connection, clock, logger, timeoutMs };
    this.#lock ??= await tryAdvisoryLock({ ...common, waitMs: LOCK_WAIT_MS });
    if (this.#lock === undefined) {
      const message = 'another relay uses this database';
      throw new RelayFault('database_locked', message, { isRetryable: false });
    }
    const applied = await migrate({
      ...common,
      onStep: (name, step, stepCount) => logger.info({ name, step, stepCount }, 'migrating'),
    });
    if (applied.length > 0) logger.info({ applied }, 'schema is up to date');
  }

  async close(): Promise<void> {
    await this.#probe?.stop();
    await this.#lock?.release();
    await this.pool.close();
    await this.#embedded?.stop();
  }

  /** Keeps the readiness word true; its errors are an answer too. */
  #watch(): void {
    const { clock, logger, metrics, state } = this.#options;
    const pass = async (): Promise<void> => {
      const isUp = await this.pool.ping().catch((error: unknown) => {
        logger.debug({ error: errorText(error) }, 'database probe');
        return false;
      });
      state.publish(isUp ? DatabaseState.up : DatabaseState.down);
      metrics.set('relay_store_up', isUp ? 1 : 0);
    };
    this.#probe = supervise('store_probe', clock, logger, pass, { periodMs: PROBE_MS });
  }
}
