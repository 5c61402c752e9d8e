/**
 * A pass-through in front of a real PLC directory that writes the legacy key type. Every other
 * account is answered in the newer form (`Multikey`), so one run meets both.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

type Method = { id: string; type: string; controller: string; publicKeyMultibase: string };
type Document = { id: string; verificationMethod: Method[] };

export class PlcForms {
  /** DIDs that were answered in each form. */
  readonly legacy = new Set<string>();
  readonly multikey = new Set<string>();
  /** Origin of the directory. */
  target = '';
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const path = request.url ?? '/';
      this.#answer(path).then(
        ({ status, body }) => {
          response.writeHead(status, { 'content-type': 'application/did+ld+json' }).end(body);
        },
        () => response.destroy(),
      );
    });
  }

  static async start(): Promise<PlcForms> {
    const forms = new PlcForms();
    await new Promise<void>((resolve) => forms.#server.listen(0, '127.0.0.1', resolve));
    return forms;
  }

  get url(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(path: string): Promise<{ status: number; body: string }> {
    const answer = await fetch(`${this.target}${path}`);
    const body = await answer.text();
    if (answer.status !== 200) return { status: answer.status, body };
    const document: Document = JSON.parse(body);
    if (this.#isMultikey(document.id)) {
      const data = await (await fetch(`${this.target}/${document.id}/data`)).json();
      const { verificationMethods } = data as { verificationMethods: { atproto: string } };
      for (const method of document.verificationMethod) {
        method.id = `${document.id}#atproto`;
        method.type = 'Multikey';
        method.publicKeyMultibase = verificationMethods.atproto.replace('did:key:', '');
      }
    }
    return { status: 200, body: JSON.stringify(document) };
  }

  #isMultikey(did: string): boolean {
    if (this.multikey.has(did)) return true;
    if (this.legacy.has(did)) return false;
    const isNext = this.multikey.size < this.legacy.size;
    (isNext ? this.multikey : this.legacy).add(did);
    return isNext;
  }
}
