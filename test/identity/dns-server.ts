/** A small name server on loopback: answers are data, silence and failures can be had too. */
import { createSocket, type Socket } from 'node:dgram';

export type Zone = Record<
  string,
  {
    readonly a?: readonly string[];
    readonly aaaa?: readonly string[];
    readonly ttl?: number;
    /** 0 ok, 2 server failure, 3 no such name. */
    readonly code?: number;
    readonly isSilent?: boolean;
    /** Silent for the AAAA question alone. */
    readonly isSilent6?: boolean;
  }
>;

const TYPE_A = 1;
const TYPE_AAAA = 28;

export class DnsServer {
  readonly #socket: Socket;
  /** May be changed while it runs. */
  readonly zone: Zone;
  readonly questions: string[] = [];

  constructor(zone: Zone, socket: Socket) {
    this.zone = zone;
    this.#socket = socket;
    socket.on('message', (query, peer) => {
      const answer = this.#answer(query);
      if (answer !== undefined) socket.send(answer, peer.port, peer.address);
    });
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  /** Questions of one name, both families together. */
  count(name: string): number {
    return this.questions.filter((question) => question.endsWith(` ${name}`)).length;
  }

  close(): void {
    this.#socket.close();
  }

  #answer(query: Buffer): Buffer | undefined {
    const labels: string[] = [];
    let offset = 12;
    for (let length = query.readUInt8(offset); length > 0; length = query.readUInt8(offset)) {
      labels.push(query.toString('latin1', offset + 1, offset + 1 + length));
      offset += 1 + length;
    }
    const type = query.readUInt16BE(offset + 1);
    const name = labels.join('.').toLowerCase();
    this.questions.push(`${type === TYPE_A ? 'A' : 'AAAA'} ${name}`);
    const entry = this.zone[name];
    if (entry?.isSilent === true || (entry?.isSilent6 === true && type === TYPE_AAAA)) {
      return undefined;
    }
    const texts = (type === TYPE_A ? entry?.a : entry?.aaaa) ?? [];
    const head = Buffer.from(query.subarray(0, offset + 5));
    head.writeUInt16BE(0x8180 | (entry === undefined ? 3 : (entry.code ?? 0)), 2);
    head.writeUInt16BE(texts.length, 6);
    head.writeUInt16BE(0, 8);
    head.writeUInt16BE(0, 10);
    const records = texts.map((text) => recordOf(type, text, entry?.ttl ?? 60));
    return Buffer.concat([head, ...records]);
  }
}

function recordOf(type: number, text: string, ttl: number): Buffer {
  const data = type === TYPE_A ? Buffer.from(text.split('.').map(Number)) : bytes6(text);
  const record = Buffer.alloc(12);
  record.writeUInt16BE(0xc00c, 0);
  record.writeUInt16BE(type, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt32BE(ttl, 6);
  record.writeUInt16BE(data.length, 10);
  return Buffer.concat([record, data]);
}

function bytes6(text: string): Buffer {
  const [head = '', tail = ''] = text.split('::');
  const words = (part: string) => part.split(':').filter((word) => word !== '');
  const gap = new Array<string>(8 - words(head).length - words(tail).length).fill('0');
  const all = text.includes('::') ? [...words(head), ...gap, ...words(tail)] : words(text);
  return Buffer.from(all.map((word) => word.padStart(4, '0')).join(''), 'hex');
}

export async function startDns(zone: Zone): Promise<DnsServer> {
  const socket = createSocket('udp4');
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.bind(0, '127.0.0.1', resolve);
  await promise;
  return new DnsServer(zone, socket);
}
