/** HTTP servers on loopback that behave as badly as a test needs, and count what reaches them. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';

export type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void;

export type WebServer = {
  readonly port: number;
  /** `http://localhost:port` */
  readonly origin: string;
  readonly host: string;
  readonly did: string;
  /** Requests in order, each with the number of the connection it came on (from 1). */
  readonly requests: {
    readonly url: string;
    readonly headers: http.IncomingHttpHeaders;
    readonly connection: number;
  }[];
  connectionCount(): number;
  openCount(): number;
  close(): void;
};

type Counted = {
  connections: number;
  readonly open: Set<Socket>;
  readonly ids: Map<Socket, number>;
};

function track(server: net.Server): Counted {
  const counted: Counted = { connections: 0, open: new Set(), ids: new Map() };
  server.on('connection', (socket: Socket) => {
    counted.ids.set(socket, ++counted.connections);
    counted.open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => counted.open.delete(socket));
  });
  return counted;
}

async function present(
  server: net.Server,
  counted: Counted,
  requests: WebServer['requests'],
): Promise<WebServer> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    origin: `http://localhost:${port}`,
    host: `localhost:${port}`,
    did: `did:web:localhost%3A${port}`,
    requests,
    connectionCount: () => counted.connections,
    openCount: () => counted.open.size,
    close: () => {
      server.close();
      for (const socket of counted.open) socket.destroy();
    },
  };
}

export function startWeb(handler: Handler): Promise<WebServer> {
  const requests: WebServer['requests'] = [];
  const server = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const connection = counted.ids.get(request.socket) ?? 0;
    requests.push({ url: request.url ?? '', headers: request.headers, connection });
    handler(request, response, requests.length);
  });
  const counted = track(server);
  return present(server, counted, requests);
}

/** Speaks bytes instead of HTTP. */
export function startRaw(onSocket: (socket: Socket) => void): Promise<WebServer> {
  const server = net.createServer(onSocket);
  return present(server, track(server), []);
}

/** Writes `piece` every few milliseconds until the other side goes; returns a way to count. */
export function drip(response: ServerResponse | Socket, piece: string, everyMs: number): void {
  const timer = setInterval(() => response.write(piece), everyMs);
  response.on('close', () => clearInterval(timer));
}
