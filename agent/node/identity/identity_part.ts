/** Which identity each endpoint of this node has, and what follows from it for policies and addresses. */

import { parseIp } from "../../../datapath/net/ip.ts";
import { type Endpoint, endpointKey } from "../../api/endpoint.ts";
import { derive } from "../../core/derive.ts";
import type { Log } from "../../core/log.ts";
import type { Table } from "../../core/table.ts";
import { type LocalAddress, localAddressTable } from "../ipcache/ipcache.ts";
import type { Part } from "../part.ts";
import { localSubjectTable } from "../policy/derive.ts";
import type { LocalSubject } from "../policy/policy_sets.ts";
import type { SourcesPart } from "../sources_part.ts";
import {
  EndpointIdentities,
  type IdentifiedEndpoint,
  identifiedTable,
} from "./endpoint_identities.ts";

/** See the module. */
export interface IdentityPart extends Part {
  identified: Table<IdentifiedEndpoint>;
  /** The endpoints as policies see them. */
  subjects: Table<LocalSubject>;
  /** The endpoints as the ipcache sees them. */
  localAddresses: Table<LocalAddress>;
  /** Resolves when every endpoint of the table now has its identity. */
  settled(): Promise<void>;
}

/** What the endpoints of this node are to policies and to the ipcache. Dispose of it to stop that. */
export function deriveLocal(identified: Table<IdentifiedEndpoint>) {
  const stack = new DisposableStack();
  const subjects = localSubjectTable();
  const localAddresses = localAddressTable();
  stack.use(derive(
    [identified],
    () =>
      identified.rows().map(({ endpoint, labels, namedPorts }) => ({
        id: endpoint.id,
        labels,
        namedPorts,
      })),
    subjects,
  ));
  stack.use(derive(
    [identified],
    () =>
      identified.rows().map(({ endpoint, identity }) => ({
        id: endpoint.id,
        pod: `${endpoint.namespace}/${endpoint.pod}`,
        identity,
        addresses: [endpoint.ipv4, endpoint.ipv6].filter((ip) => ip !== undefined).map(parseIp),
      })),
    localAddresses,
  ));
  return { subjects, localAddresses, [Symbol.dispose]: () => stack.dispose() };
}

/** Wires endpoints, pods and namespaces to identities. */
export function identityPart(
  { log, endpoints, sources: { tables, store } }: {
    log: Log;
    endpoints: Table<Endpoint>;
    sources: SourcesPart;
  },
): IdentityPart {
  const stack = new DisposableStack();
  const identified = identifiedTable();
  const { subjects, localAddresses } = stack.use(deriveLocal(identified));
  const identities = stack.use(
    new EndpointIdentities({
      endpoints,
      pods: tables.Pod,
      namespaces: tables.Namespace,
      output: identified,
      allocator: store,
      onError: (endpoint, error) =>
        log.error("no identity", { endpoint: endpointKey(endpoint), error: error.message }),
    }),
  );
  return {
    name: "identity",
    identified,
    subjects,
    localAddresses,
    settled: () => identities.settled(),
    status: () => ({ identities: store.identities.size }),
    [Symbol.asyncDispose]: () => Promise.resolve(stack.dispose()),
  };
}
