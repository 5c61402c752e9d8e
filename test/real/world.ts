/**
 * Software that we did not write, on loopback, in a process of its own: the PLC directory and PDS
 * hosts. The parent says under which public port each PDS is known (something of the parent's
 * listens there and passes on) and learns where they really listen.
 */
import { once } from 'node:events';
import { join } from 'node:path';
import { Secp256k1Keypair } from '@atproto/crypto';
import { envToCfg, envToSecrets, PDS } from '@atproto/pds';
import { Database, PlcServer } from '@did-plc/server';

type Start = { readonly dataDir: string; readonly publicPorts: readonly number[] };

export const PDS_ADMIN_PASSWORD = 'a password for tests only';

async function startPds(dataDir: string, index: number, publicPort: number, plcUrl: string) {
  const rotation = await Secp256k1Keypair.create({ exportable: true });
  const env = {
    port: publicPort,
    hostname: 'localhost',
    serviceDid: `did:web:localhost%3A${publicPort}`,
    serviceHandleDomains: [`.pds${index}.test`],
    dataDirectory: join(dataDir, `pds${index}`),
    blobstoreDiskLocation: join(dataDir, `pds${index}`, 'blobs'),
    didPlcUrl: plcUrl,
    // Kept short: a handle that has just changed must be seen.
    didCacheStaleTTL: 1,
    didCacheMaxTTL: 1,
    inviteRequired: false,
    disableSsrfProtection: true,
    devMode: true,
    // Never called: it must only be there.
    bskyAppViewUrl: 'http://localhost:9',
    bskyAppViewDid: 'did:web:localhost%3A9',
    jwtSecret: 'a secret for tests only',
    adminPassword: PDS_ADMIN_PASSWORD,
    plcRotationKeyK256PrivateKeyHex: Buffer.from(await rotation.export()).toString('hex'),
  };
  const config = envToCfg(env);
  // The documents name the public port; the listener takes any.
  config.service.port = 0;
  const pds = await PDS.create(config, envToSecrets(env));
  const server = await pds.start();
  if (!server.listening) await once(server, 'listening');
  return { pds, port: portOf(server.address()) };
}

function portOf(address: unknown): number {
  return (address as { port: number }).port;
}

process.once('message', async ({ dataDir, publicPorts }: Start) => {
  const plc = PlcServer.create({ db: Database.mock(), port: 0 });
  const plcServer = await plc.start();
  if (!plcServer.listening) await once(plcServer, 'listening');
  const plcPort = portOf(plcServer.address());
  const hosts = await Promise.all(
    publicPorts.map((port, index) => startPds(dataDir, index, port, `http://localhost:${plcPort}`)),
  );
  process.send?.({ plcPort, pdsPorts: hosts.map(({ port }) => port) });
});
// The parent is gone: so is everything here, its directory too.
process.on('disconnect', () => process.exit(0));
