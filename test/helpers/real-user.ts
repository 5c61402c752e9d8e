/** A user of a real PDS: an account and everything that people do with one. */
import type { RealPds } from './real-world.ts';

type Ref = { readonly uri: string; readonly cid: string };
type Written = Ref & { readonly commit: { readonly rev: string } };

const POST = 'app.bsky.feed.post';

export class RealUser {
  readonly pds: RealPds;
  readonly name: string;
  readonly did: string;
  readonly #token: string;

  private constructor(pds: RealPds, name: string, did: string, token: string) {
    this.pds = pds;
    this.name = name;
    this.did = did;
    this.#token = token;
  }

  static async create(pds: RealPds, name: string): Promise<RealUser> {
    const { did, accessJwt } = await pds.call('com.atproto.server.createAccount', {
      handle: `${name}${pds.handleDomain}`,
      email: `${name}@example.test`,
      password: `the password of ${name}`,
    });
    return new RealUser(pds, name, did, accessJwt);
  }

  post(text: string): Promise<Written> {
    return this.#create(POST, postRecord(text));
  }

  like(subject: Ref): Promise<Written> {
    const { uri, cid } = subject;
    return this.#create('app.bsky.feed.like', { subject: { uri, cid }, createdAt: now() });
  }

  /** Creates or updates the one record of its kind. */
  async putProfile(displayName: string): Promise<void> {
    const collection = 'app.bsky.actor.profile';
    const record = { $type: collection, displayName };
    const input = { repo: this.did, collection, rkey: 'self', record };
    await this.#call('com.atproto.repo.putRecord', input);
  }

  async delete({ uri }: Ref): Promise<void> {
    const [rkey, collection] = uri.split('/').reverse();
    await this.#call('com.atproto.repo.deleteRecord', { repo: this.did, collection, rkey });
  }

  /** One commit with `count` creates, an update, and a delete of `old`. */
  async writeMany(count: number, old: Ref): Promise<void> {
    const kind = 'com.atproto.repo.applyWrites';
    const creates = Array.from({ length: count }, (_, index) => ({
      $type: `${kind}#create`,
      collection: POST,
      value: postRecord(`${this.name} says ${index} things: ${'žluťoučký kůň 🐎 '.repeat(6)}`),
    }));
    const update = {
      $type: `${kind}#update`,
      collection: 'app.bsky.actor.profile',
      rkey: 'self',
      value: { $type: 'app.bsky.actor.profile', displayName: `${this.name}, who writes much` },
    };
    const remove = { $type: `${kind}#delete`, collection: POST, rkey: old.uri.split('/').at(-1) };
    await this.#call(kind, { repo: this.did, writes: [...creates, update, remove] });
  }

  /** A commit without operations. */
  async writeNothing(): Promise<void> {
    await this.#call('com.atproto.repo.applyWrites', { repo: this.did, writes: [] });
  }

  async changeHandle(name: string): Promise<void> {
    const handle = `${name}${this.pds.handleDomain}`;
    await this.#call('com.atproto.identity.updateHandle', { handle });
  }

  async deactivate(): Promise<void> {
    await this.#call('com.atproto.server.deactivateAccount', {});
  }

  async activate(): Promise<void> {
    await this.#call('com.atproto.server.activateAccount', null);
  }

  /** The operator takes the account down, or lets it back. */
  async takeDown(applied: boolean): Promise<void> {
    const subject = { $type: 'com.atproto.admin.defs#repoRef', did: this.did };
    const takedown = applied ? { applied, ref: '1' } : { applied };
    await this.pds.administer('com.atproto.admin.updateSubjectStatus', { subject, takedown });
  }

  async deleteAccount(): Promise<void> {
    await this.pds.administer('com.atproto.admin.deleteAccount', { did: this.did });
  }

  #create(collection: string, record: object): Promise<Written> {
    const input = { repo: this.did, collection, record: { $type: collection, ...record } };
    return this.#call('com.atproto.repo.createRecord', input) as Promise<Written>;
  }

  #call(method: string, input: object | null): Promise<unknown> {
    return this.pds.call(method, input, this.#token);
  }
}

function now(): string {
  return new Date().toISOString();
}

function postRecord(text: string): object {
  return { $type: POST, text, createdAt: now() };
}
