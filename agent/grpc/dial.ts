/** Connections to servers of gRPC. */

import { GrpcClient } from "./grpc_client.ts";

/** Where a server is. */
export type ServerAddress =
  | { path: string }
  | { hostname: string; port: number; tls: boolean };

/** How a server with TLS is known, and this client to it. */
export interface DialTls {
  /** Who may have signed its certificate, in PEM. @default {the system's} */
  ca?: string;
  /** The name in its certificate. @default {where it is} */
  serverName?: string;
  /** Of this client, in PEM; not together with `serverName`. */
  cert?: string;
  key?: string;
}

/** `unix:///PATH`, a path, `HOST:PORT` or `tls://HOST:PORT`; undefined for another text. */
export function parseServerAddress(text: string, tls = false): ServerAddress | undefined {
  const path = /^(?:unix:(?:\/\/)?)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  const match = /^(tls:\/\/|tcp:\/\/)?(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[4]);
  if (!match || port > 65_535) return undefined;
  return { hostname: match[2] ?? match[3]!, port, tls: match[1] === "tls://" || tls };
}

/** The address for people. */
export function serverAddressText(address: ServerAddress): string {
  return "path" in address ? address.path : `${address.hostname}:${address.port}`;
}

/** Connects. Throws what the connection or TLS throws. */
export async function dial(address: ServerAddress, tls: DialTls = {}): Promise<GrpcClient> {
  if ("path" in address) {
    const connection = await Deno.connect({ transport: "unix", path: address.path });
    return new GrpcClient(connection, { authority: "localhost", tls: false });
  }
  const authority = serverAddressText(address);
  const { hostname, port } = address;
  if (!address.tls) {
    return new GrpcClient(await Deno.connect({ hostname, port }), { authority, tls: false });
  }
  const connection = await dialTls(hostname, port, tls);
  try {
    await connection.handshake();
  } catch (error) {
    connection.close();
    throw error;
  }
  return new GrpcClient(connection, { authority, tls: true });
}

async function dialTls(
  hostname: string,
  port: number,
  { ca, serverName, cert, key }: DialTls,
): Promise<Deno.TlsConn> {
  const common = { alpnProtocols: ["h2"], ...(ca === undefined ? {} : { caCerts: [ca] }) };
  if (serverName !== undefined) {
    const connection = await Deno.connect({ hostname, port });
    return await Deno.startTls(connection, { hostname: serverName, ...common });
  }
  const own = cert === undefined || key === undefined ? {} : { cert, key };
  return await Deno.connectTls({ hostname, port, ...common, ...own });
}
