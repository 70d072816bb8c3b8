/** Which identity each endpoint of this node has, and what follows from it for policies and addresses. */

import { parseIp } from "../../../datapath/net/ip.ts";
import { type Endpoint, endpointKey, endpointName } from "../../api/endpoint.ts";
import { RESERVED_IDENTITIES } from "../../cluster/identities.ts";
import { derive } from "../../core/derive.ts";
import type { Log } from "../../core/log.ts";
import { formatObject, type Problem, problemTable } from "../../core/problem.ts";
import type { Table } from "../../core/table.ts";
import type { AgentConfig } from "../config.ts";
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

/** Whether no source has the endpoint's Pod, although the runtime has named one. */
export function lacksManifest({ identity }: IdentifiedEndpoint): boolean {
  return identity === RESERVED_IDENTITIES.init;
}

/** An endpoint whose manifest is missing, as a problem of its Pod. */
function missingManifest({ endpoint }: IdentifiedEndpoint): Problem {
  const object = { kind: "Pod", namespace: endpoint.namespace, name: endpoint.pod };
  return {
    source: formatObject(object),
    object,
    reason: "ManifestMissing",
    message:
      `runs here as endpoint ${endpoint.id}, and no source has its manifest: until one does ` +
      "it is reserved:init, and policies for that decide",
  };
}

/**
 * What the endpoints of this node are to policies and to the ipcache. `initEnforcement`: whether an
 * endpoint without manifest is isolated even when no policy selects it. Dispose of it to stop that.
 */
export function deriveLocal(
  identified: Table<IdentifiedEndpoint>,
  { initEnforcement }: Pick<AgentConfig, "initEnforcement">,
) {
  const stack = new DisposableStack();
  const problems = problemTable("manifest-problems");
  stack.use(derive(
    [identified],
    () => identified.rows().filter(lacksManifest).map(missingManifest),
    problems,
  ));
  const subjects = localSubjectTable();
  const localAddresses = localAddressTable();
  stack.use(derive(
    [identified],
    () =>
      identified.rows().map((row) => ({
        id: row.endpoint.id,
        labels: row.labels,
        namedPorts: row.namedPorts,
        isolated: initEnforcement === "always" && lacksManifest(row),
      })),
    subjects,
  ));
  stack.use(derive(
    [identified],
    () =>
      identified.rows().map(({ endpoint, identity }) => ({
        id: endpoint.id,
        pod: endpointName(endpoint),
        identity,
        addresses: [endpoint.ipv4, endpoint.ipv6].filter((ip) => ip !== undefined).map(parseIp),
      })),
    localAddresses,
  ));
  return { subjects, localAddresses, problems, [Symbol.dispose]: () => stack.dispose() };
}

/** Wires endpoints, pods and namespaces to identities. */
export function identityPart(
  { config, log, endpoints, sources: { tables, store } }: {
    config: AgentConfig;
    log: Log;
    endpoints: Table<Endpoint>;
    sources: SourcesPart;
  },
): IdentityPart {
  const stack = new DisposableStack();
  const identified = identifiedTable();
  const { subjects, localAddresses, problems } = stack.use(deriveLocal(identified, config));
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
    problems: [problems],
    settled: () => identities.settled(),
    status: () => ({ identities: store.identities.size }),
    [Symbol.asyncDispose]: () => Promise.resolve(stack.dispose()),
  };
}
