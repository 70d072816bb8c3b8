/**
 * Which of the published addresses count. A node speaks for its own pods alone, while it and they are
 * there: what anybody else's address, a reserved identity, another node's pod or one that has gone is
 * claimed for does not count, and is a problem.
 */

import { cidrContains, equalIp, formatIp, isIpv4, parseIp } from "../../datapath/net/ip.ts";
import { deriveGroups, groupInput } from "../core/derive_groups.ts";
import { GroupIndex } from "../core/group_index.ts";
import { type Problem, problemTable } from "../core/problem.ts";
import type { Table } from "../core/table.ts";
import type { Pod } from "../kubernetes/resources.ts";
import { remoteAddressTable } from "./cluster_store.ts";
import { IDENTITY_MAX, IDENTITY_MIN, RESERVED_IDENTITIES } from "./identities.ts";
import { MissingPods } from "./missing_pods.ts";
import type { ClusterNode, RemoteAddress } from "./rows.ts";

/** Tables that {@linkcode deriveTrustedAddresses} reads. */
export interface TrustedInputs {
  /** As they are published. */
  addresses: Table<RemoteAddress>;
  nodes: Table<ClusterNode>;
  pods: Table<Pod>;
  /** @default {true} */
  knowsAllPods?: boolean;
  /** This node's name. */
  nodeName: string;
  /** See {@linkcode MissingPods}. */
  holdMs?: number;
}

/** Those that count, and what is wrong with the others. Dispose of it to stop that. */
export interface TrustedAddresses extends Disposable {
  addresses: Table<RemoteAddress>;
  problems: Table<Problem>;
}

/** Wires what is published to what counts of it. */
export function deriveTrustedAddresses(
  { addresses: published, nodes, pods, ...inputs }: TrustedInputs,
): TrustedAddresses {
  const addresses = remoteAddressTable("trusted-addresses");
  const problems = problemTable("published-problems");
  const nodesByAddress = new GroupIndex<ClusterNode>(({ ipv4, ipv6 }) =>
    [ipv4, ipv6].flatMap((ip) => ip ? [formatIp(ip)] : [])
  );
  const publishedByNode = new GroupIndex<RemoteAddress>(({ node }) => [node]);
  const publishedByPod = new GroupIndex<RemoteAddress>(({ pod }) => [pod]);
  const stack = new DisposableStack();
  const { missing } = stack.use(
    new MissingPods({
      ...{ published, pods, ...inputs },
      isPublished: (pod) => publishedByPod.has(pod),
    }),
  );
  stack.use(deriveGroups<RemoteAddress>({
    inputs: [
      groupInput(
        nodes,
        (change) => [...nodesByAddress.apply(change)].flatMap((ip) => publishedByNode.keys(ip)),
      ),
      groupInput(pods, (change) => {
        const before = change.kind === "added" ? undefined : change.previous.spec?.nodeName;
        const now = change.kind === "deleted" ? undefined : change.row.spec?.nodeName;
        return before === now ? [] : publishedByPod.keys(change.key);
      }),
      groupInput(missing, ({ key }) => publishedByPod.keys(key)),
      groupInput(published, (change) => {
        publishedByNode.apply(change);
        publishedByPod.apply(change);
        return [change.key];
      }),
    ],
    output: addresses,
    problems,
    compute: (key) => {
      const row = published.get(key);
      if (!row) return { rows: [] };
      const owner = nodesByAddress.rows(row.node).at(-1);
      if (!owner) return { rows: [], problems: [strangersProblem(row)] };
      const wrong = fault(row, owner, pods.get(row.pod)?.spec?.nodeName) ??
        (missing.has(row.pod) ? missingFault(row, owner) : undefined);
      if (wrong === undefined) return { rows: [row] };
      const message = `${row.prefix} does not count: ${wrong}`;
      return { rows: [], problems: [{ source: `CiliumEndpoint ${row.pod}`, message }] };
    },
  }));
  return { addresses, problems, [Symbol.dispose]: () => stack.dispose() };
}

/** One for all that it has published. */
function strangersProblem({ node }: RemoteAddress): Problem {
  return {
    source: `CiliumEndpoints of ${node}`,
    reason: "NodeMissing",
    message:
      `do not count: ${node} is the InternalIP of no Node; when its node has left for good, ` +
      "remove the node's folder of .pilus/endpoints",
  };
}

/** Without a Pod an endpoint is init: its node says so, when it is up. */
function missingFault({ pod, identity }: RemoteAddress, owner: ClusterNode): string | undefined {
  if (identity === RESERVED_IDENTITIES.init) return undefined;
  return `no source has Pod ${pod}, and Node ${owner.name} has not taken it back: is its agent down?`;
}

function fault(
  { prefix, identity, pod }: RemoteAddress,
  owner: ClusterNode,
  nodeName: string | undefined,
): string | undefined {
  const published = identity >= IDENTITY_MIN && identity <= IDENTITY_MAX ||
    identity === RESERVED_IDENTITIES.init;
  if (!published) {
    return `identity ${identity} is not among ${IDENTITY_MIN} to ${IDENTITY_MAX}`;
  }
  if (nodeName !== undefined && nodeName !== owner.name) {
    return `Pod ${pod} is of Node ${nodeName}, and Node ${owner.name} has published it`;
  }
  const ip = parseIp(prefix);
  const [cidr, router] = isIpv4(ip)
    ? [owner.podCidrIpv4, owner.routerIpv4]
    : [owner.podCidrIpv6, owner.routerIpv6];
  if (!cidr || !cidrContains(cidr, ip) || router && equalIp(router, ip)) {
    return `it is not among the addresses for pods of Node ${owner.name}`;
  }
  return undefined;
}
