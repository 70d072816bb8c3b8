/** `pilus relay` */

import { untilAborted } from "../agent/core/pause.ts";
import { DEFAULT_SOCKET } from "../agent/api/types.ts";
import { printable } from "../agent/core/printable.ts";
import { Log } from "../agent/core/log.ts";
import { dial, serverAddressText } from "../agent/grpc/dial.ts";
import { GrpcServer } from "../agent/grpc/grpc_server.ts";
import { tcpListener } from "../agent/grpc/tcp_listener.ts";
import { healthMethods } from "../agent/hubble/health_service.ts";
import { namelessPeer, PeerList, type RelayPeer } from "../agent/relay/peers.ts";
import { relayMethods } from "../agent/relay/relay_service.ts";
import { type Invocation, UsageError } from "./command.ts";
import { dialTls, readServerAddress } from "./observe/hubble_client.ts";

export async function relay({ options }: Invocation): Promise<void> {
  const tls = dialTls(options);
  const given = (options.peer as readonly string[] ?? []).map((text) =>
    namelessPeer(readServerAddress(text, "peer", Boolean(options.tls)))
  );
  if (given.length > 0 && options["peer-service"] !== undefined) {
    throw new UsageError("--peer and --peer-service exclude each other");
  }
  const socket = String(Deno.env.get("PILUS_SOCKET") ?? DEFAULT_SOCKET);
  const service = readServerAddress(
    String(options["peer-service"] ?? socket.replace(/[^/]*$/, "hubble.sock")),
    "peer-service",
    Boolean(options.tls),
  );
  const log = new Log();
  const peers = new PeerList(given);
  const connect = ({ address, serverName }: RelayPeer) =>
    dial(address, { ...tls, ...(serverName === undefined ? {} : { serverName }) });
  const { hostname, port } = listenAddress(String(options.listen));
  const listener = tcpListener({
    ...{ hostname, port },
    cert: String(options["tls-cert"] ?? ""),
    key: String(options["tls-key"] ?? ""),
    names: { at: "--listen", cert: "--tls-cert", key: "--tls-key" },
  });
  const stop = new AbortController();
  const end = () => stop.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, end);
  await using server = new GrpcServer({
    methods: {
      ...relayMethods({ name: `relay/${Deno.hostname()}`, version: "pilus relay", peers, connect }),
      ...healthMethods(["observer.Observer"]),
    },
    onError: (what, error) => log.error("relay", { what, error: String(error) }),
  });
  server.listen(listener);
  const { hostname: host, port: actual } = listener.addr as Deno.NetAddr;
  log.info("ready", { address: `${host}:${actual}` });
  if (given.length > 0) {
    await untilAborted(stop.signal);
  } else {
    await peers.follow(
      () => dial(service, tls),
      stop.signal,
      ({ message }) =>
        log.warn("peer service cannot be reached", {
          address: serverAddressText(service),
          error: printable(message),
        }),
    );
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, end);
}

function listenAddress(text: string): { hostname: string; port: number } {
  const address = readServerAddress(text, "listen", false);
  if ("path" in address) throw new UsageError(`--listen takes HOST:PORT, not \`${text}\``);
  return address;
}
