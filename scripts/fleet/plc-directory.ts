/**
 * A did:plc directory over real HTTP: one document per DID, changeable at run time, with faults on
 * demand. Serves only what a relay asks: `GET /<did>`.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Keypair } from './repo-keypair.ts';

type Entry = { readonly key: string; readonly pds: string; readonly handle: string };

export class PlcDirectory {
  readonly #entries = new Map<string, Entry>();
  readonly #documents = new Map<string, object>();
  readonly #tombstones = new Set<string>();
  readonly #server: Server;
  /**
   * `hang`: connections are taken and never answered. `swallow`: each connection gets one answer,
   * and whatever is asked on it after that is swallowed.
   */
  fault: 'none' | 'error' | 'hang' | 'swallow' = 'none';
  requestCount = 0;
  /** Requests that got no answer. */
  swallowedCount = 0;
  readonly #answered = new WeakSet<Socket>();

  private constructor() {
    this.#server = createServer((request, response) => {
      this.requestCount += 1;
      const isSwallowed = this.fault === 'swallow' && this.#answered.has(request.socket);
      if (this.fault === 'hang' || isSwallowed) {
        this.swallowedCount += 1;
        return;
      }
      this.#answered.add(request.socket);
      if (this.fault === 'error') {
        response.writeHead(500).end();
        return;
      }
      const did = decodeURIComponent((request.url ?? '/').slice(1));
      const entry = this.#entries.get(did);
      const document = this.#documents.get(did) ?? (entry && documentOf(did, entry));
      if (this.#tombstones.has(did)) response.writeHead(410).end('{}');
      else if (document === undefined) response.writeHead(404).end('{}');
      else {
        response.writeHead(200, { 'content-type': 'application/did+ld+json' });
        response.end(JSON.stringify(document));
      }
    });
  }

  static async start(): Promise<PlcDirectory> {
    const directory = new PlcDirectory();
    await new Promise<void>((resolve) => {
      directory.#server.listen(0, '127.0.0.1', resolve);
    });
    return directory;
  }

  get url(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Sets or replaces the document of a DID. `pds` is an origin, as `http://localhost:3000`. */
  set(did: string, keypair: Keypair, pds: string, handle: string): void {
    this.#entries.set(did, { key: keypair.multibase, pds, handle });
  }

  /** A document of any form, which `set` does not change any more. */
  setDocument(did: string, document: object): void {
    this.#documents.set(did, document);
  }

  tombstone(did: string): void {
    this.#tombstones.add(did);
  }

  /** Takes a tombstone back, as the recovery key of an account can. */
  restore(did: string): void {
    this.#tombstones.delete(did);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function documentOf(did: string, entry: Entry): object {
  return {
    '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
    id: did,
    alsoKnownAs: [`at://${entry.handle}`],
    verificationMethod: [
      {
        id: `${did}#atproto`,
        type: 'Multikey',
        controller: did,
        publicKeyMultibase: entry.key,
      },
    ],
    service: [
      { id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: entry.pds },
    ],
  };
}
