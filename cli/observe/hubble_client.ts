/** A connection to a server of Hubble's API. */

import { AgentUnreachableError } from "../../agent/api/client.ts";
import { DEFAULT_SOCKET } from "../../agent/api/types.ts";
import { GrpcClient } from "../../agent/grpc/grpc_client.ts";
import { type OptionValues, UsageError } from "../command.ts";

/** Where a server is. */
export type ServerAddress =
  | { path: string }
  | { hostname: string; port: number; tls: boolean };

/** What `--server` names; without it hubble.sock beside the agent's socket. Throws UsageError. */
export function serverAddress(options: OptionValues): ServerAddress {
  const given = options.server ?? Deno.env.get("HUBBLE_SERVER");
  if (given === undefined) {
    const socket = String(options.socket ?? Deno.env.get("PILUS_SOCKET") ?? DEFAULT_SOCKET);
    return { path: `${socket.slice(0, socket.lastIndexOf("/") + 1)}hubble.sock` };
  }
  const text = String(given);
  const path = /^(?:unix:(?:\/\/)?)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { path };
  const match = /^(tls:\/\/|tcp:\/\/)?(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[4]);
  if (!match || port > 65_535) {
    throw new UsageError(
      `--server takes unix:///PATH, HOST:PORT or tls://HOST:PORT, not \`${text}\``,
    );
  }
  const tls = match[1] === "tls://" || Boolean(options.tls);
  return { hostname: match[2] ?? match[3]!, port, tls };
}

/** Connects. Throws AgentUnreachableError that says what cannot be reached and why. */
export async function connectHubble(options: OptionValues): Promise<GrpcClient> {
  const address = serverAddress(options);
  const name = "path" in address ? address.path : `${address.hostname}:${address.port}`;
  try {
    const connection = await connect(address, options);
    return new GrpcClient(connection, {
      authority: "path" in address ? "localhost" : name,
      tls: "path" in address ? false : address.tls,
    });
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw new AgentUnreachableError(
      `Cannot reach a server of Hubble's API at ${name}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

async function connect(address: ServerAddress, options: OptionValues): Promise<Deno.Conn> {
  if ("path" in address) return await Deno.connect({ transport: "unix", path: address.path });
  const { hostname, port, tls } = address;
  if (!tls) return await Deno.connect({ hostname, port });
  const read = (option: string) => {
    const path = options[option];
    if (path === undefined) return undefined;
    try {
      return Deno.readTextFileSync(String(path));
    } catch (cause) {
      throw new UsageError(`--${option} ${path}: ${(cause as Error).message}`, { cause });
    }
  };
  const ca = read("tls-ca-cert-file");
  const common = { alpnProtocols: ["h2"], ...(ca === undefined ? {} : { caCerts: [ca] }) };
  const cert = read("tls-client-cert-file"), key = read("tls-client-key-file");
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("--tls-client-cert-file and --tls-client-key-file need each other");
  }
  const serverName = options["tls-server-name"];
  if (serverName === undefined) {
    const own = cert === undefined || key === undefined ? {} : { cert, key };
    const connection = await Deno.connectTls({ hostname, port, ...common, ...own });
    await connection.handshake();
    return connection;
  }
  if (cert !== undefined) {
    throw new UsageError("--tls-server-name and --tls-client-cert-file exclude each other");
  }
  const connection = await Deno.startTls(await Deno.connect({ hostname, port }), {
    hostname: String(serverName),
    ...common,
  });
  await connection.handshake();
  return connection;
}
