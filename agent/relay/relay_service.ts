/** Hubble's observer of many nodes: each call asks them all. */

import { serverAddressText } from "../grpc/dial.ts";
import type { GrpcMethods } from "../grpc/grpc_server.ts";
import { GrpcError, Status } from "../grpc/status.ts";
import type { GetFlowsRequest } from "../hubble/flow_message.ts";
import { decode, encode } from "../hubble/messages.ts";
import type { RelayPeer } from "./peers.ts";
import type { RelayOptions } from "./relay_options.ts";
import { relayedFlows } from "./relayed_flows.ts";

/** Milliseconds in which a node has to answer what is no stream. */
const ANSWER_MS = 5_000;

const CONNECTED = 1, UNAVAILABLE = 2;

interface NodeStatus {
  num_flows?: number;
  max_flows?: number;
  seen_flows?: number;
  uptime_ns?: number;
  version?: string;
  flows_rate?: number;
}

/** The methods of the service, by path. */
export function relayMethods(options: RelayOptions): GrpcMethods {
  const { version, peers } = options;
  const status = () =>
    askAll<NodeStatus>(options, "/observer.Observer/ServerStatus", "ServerStatusResponse");
  return {
    "/observer.Observer/ServerStatus": async function* () {
      const answers = await status();
      const there = answers.flatMap(({ answer }) => answer ? [answer] : []);
      const away = answers.filter(({ answer }) => !answer).map(({ peer }) => peer.name);
      const sum = (field: "num_flows" | "max_flows" | "seen_flows" | "flows_rate") =>
        there.reduce((total, answer) => total + (answer[field] ?? 0), 0);
      yield [encode("observer.ServerStatusResponse", {
        num_flows: sum("num_flows"),
        max_flows: sum("max_flows"),
        seen_flows: sum("seen_flows"),
        flows_rate: sum("flows_rate"),
        uptime_ns: there.reduce((most, { uptime_ns = 0 }) => Math.max(most, uptime_ns), 0),
        num_connected_nodes: { value: there.length },
        num_unavailable_nodes: { value: away.length },
        unavailable_nodes: away.slice(0, 10),
        version,
      })];
    },
    "/observer.Observer/GetNodes": async function* () {
      const nodes = (await status()).map(({ peer, answer }) => ({
        name: peer.name,
        address: serverAddressText(peer.address),
        state: answer ? CONNECTED : UNAVAILABLE,
        tls: {
          enabled: "tls" in peer.address && peer.address.tls,
          server_name: peer.serverName ?? "",
        },
        ...answer,
      }));
      yield [encode("observer.GetNodesResponse", { nodes })];
    },
    "/observer.Observer/GetNamespaces": async function* () {
      const answers = await askAll<{ namespaces?: { cluster?: string; namespace?: string }[] }>(
        ...[options, "/observer.Observer/GetNamespaces", "GetNamespacesResponse"] as const,
      );
      const all = new Map(
        answers.flatMap(({ answer }) => answer?.namespaces ?? []).map((row) => [
          `${row.cluster}/${row.namespace}`,
          row,
        ]),
      );
      const namespaces = [...all.keys()].sort().map((key) => all.get(key));
      yield [encode("observer.GetNamespacesResponse", { namespaces })];
    },
    "/observer.Observer/GetFlows": (bytes, { signal }) => {
      const request = decode<GetFlowsRequest>("observer.GetFlowsRequest", bytes);
      if (peers.list().length === 0 && !request.follow) {
        throw new GrpcError(Status.UNAVAILABLE, "the relay knows no node");
      }
      return relayedFlows(options, request, signal);
    },
  };
}

/** What each peer answers; undefined when it does not in time. */
async function askAll<T>(
  { peers, connect }: RelayOptions,
  path: string,
  name: string,
): Promise<{ peer: RelayPeer; answer: T | undefined }[]> {
  const ask = async (peer: RelayPeer) => {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const late = new Promise<undefined>((resolve) =>
      signal.addEventListener("abort", () => resolve(undefined))
    );
    const answer = async (): Promise<T | undefined> => {
      try {
        await using client = await connect(peer);
        for await (const bytes of client.call(path, new Uint8Array(0), signal)) {
          return decode<T>(`observer.${name}`, bytes);
        }
      } catch { /* it is away */ }
      return undefined;
    };
    return { peer, answer: await Promise.race([answer(), late]) };
  };
  return await Promise.all(peers.list().map(ask));
}
