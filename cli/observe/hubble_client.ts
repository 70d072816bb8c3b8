/** A connection to a server of Hubble's API. */

import { AgentUnreachableError } from "../../agent/api/client.ts";
import { DEFAULT_SOCKET } from "../../agent/api/types.ts";
import {
  dial,
  type DialTls,
  parseServerAddress,
  type ServerAddress,
  serverAddressText,
} from "../../agent/grpc/dial.ts";
import type { GrpcClient } from "../../agent/grpc/grpc_client.ts";
import { type OptionValues, UsageError } from "../command.ts";

/** What `--server` names; without it hubble.sock beside the agent's socket. Throws UsageError. */
export function serverAddress(options: OptionValues): ServerAddress {
  const given = options.server ?? Deno.env.get("HUBBLE_SERVER");
  if (given === undefined) {
    const socket = String(options.socket ?? Deno.env.get("PILUS_SOCKET") ?? DEFAULT_SOCKET);
    return { path: `${socket.slice(0, socket.lastIndexOf("/") + 1)}hubble.sock` };
  }
  return readServerAddress(String(given), "server", Boolean(options.tls));
}

/** The address that an option has. Throws UsageError. */
export function readServerAddress(text: string, option: string, tls: boolean): ServerAddress {
  const address = parseServerAddress(text, tls);
  if (address) return address;
  throw new UsageError(
    `--${option} takes unix:///PATH, HOST:PORT or tls://HOST:PORT, not \`${text}\``,
  );
}

/** What options say about TLS. Throws UsageError. */
export function dialTls(options: OptionValues): DialTls {
  const read = (option: string) => {
    const path = options[option];
    if (path === undefined) return undefined;
    try {
      return Deno.readTextFileSync(String(path));
    } catch (cause) {
      throw new UsageError(`--${option} ${path}: ${(cause as Error).message}`, { cause });
    }
  };
  const ca = read("tls-ca-cert-file"), serverName = options["tls-server-name"];
  const cert = read("tls-client-cert-file"), key = read("tls-client-key-file");
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError("--tls-client-cert-file and --tls-client-key-file need each other");
  }
  if (serverName !== undefined && cert !== undefined) {
    throw new UsageError("--tls-server-name and --tls-client-cert-file exclude each other");
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { serverName: String(serverName) }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
}

/** Connects. Throws AgentUnreachableError that says what cannot be reached and why, and UsageError. */
export async function connectHubble(options: OptionValues): Promise<GrpcClient> {
  const address = serverAddress(options), tls = dialTls(options);
  try {
    return await dial(address, tls);
  } catch (cause) {
    throw new AgentUnreachableError(
      `Cannot reach a server of Hubble's API at ${serverAddressText(address)}: ` +
        (cause as Error).message,
      { cause },
    );
  }
}
