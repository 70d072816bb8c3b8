/**
 * How long services take from the agent's tables to the kernel, what they weigh there, and whether the
 * last of many is as fast as the first: TCP connections by a service that sockets are translated for,
 * beside direct ones.
 *
 * Usage: deno run -A scripts/bench/services.ts. Writes dist/bench/services.json.
 */

import { type BpfMap, BpfObject, type MapDescriptor, TypedMap } from "../../datapath/bpf/mod.ts";
import { attachCgroup, AttachType } from "../../datapath/bpf/mod.ts";
import { temporaryBpffs } from "../../datapath/bpf/testdata/lab.ts";
import { CLONE_NEWNET, unshare } from "../../datapath/bpf/ffi/libc.ts";
import { maps as descriptors } from "../../datapath/maps/generated.ts";
import { setLink } from "../../datapath/net/link.ts";
import { NetlinkSocket } from "../../datapath/net/netlink.ts";
import { readObject } from "../../datapath/objects.ts";
import { Cookies } from "../../agent/node/policy/cookies.ts";
import { apiServerTable } from "../../agent/node/policy/api_servers.ts";
import { derivePolicies, localSubjectTable } from "../../agent/node/policy/derive.ts";
import { Table } from "../../agent/core/table.ts";
import type { OwnAddress } from "../../agent/node/ipcache/own_addresses.ts";
import { deriveAddressRows } from "../../agent/node/ipcache/ipcache_part.ts";
import { localAddressTable } from "../../agent/node/ipcache/ipcache.ts";
import { identityTable, remoteAddressTable } from "../../agent/cluster/cluster_store.ts";
import { identifiedTable } from "../../agent/node/identity/endpoint_identities.ts";
import { deriveNodeAddresses } from "../../agent/node/nodes/node_addresses.ts";
import type { LinkAddress } from "../../datapath/net/address.ts";
import { deriveNodes } from "../../agent/node/nodes/nodes.ts";
import { deriveFrontends } from "../../agent/node/services/frontends.ts";
import { deriveServiceRows } from "../../agent/node/services/kernel/service_rows.ts";
import { createResourceTables } from "../../agent/kubernetes/resource_tables.ts";
import { findCgroup } from "../../agent/node/cgroup.ts";
import type { EndpointSlice, Service } from "../../agent/kubernetes/resources.ts";
import { MemberMap } from "../../agent/node/services/kernel/member_map.ts";
import { ServiceMaps } from "../../agent/node/services/kernel/service_maps.ts";
import { sameService } from "../../agent/node/services/kernel/service_row.ts";
import { packEndpoints } from "../../agent/kubernetes/slice_endpoints.ts";
import { mapTarget } from "../../agent/node/map_target.ts";
import { Reconciler } from "../../agent/core/reconciler.ts";
import { settled } from "../../agent/core/schedule.ts";

const BACKENDS = 10;
const ONE_MORE = 50;
const MAGLEV_SIZE = 16381;
const PORT = 7070;

interface Row {
  case: string;
  metric: string;
  value: number;
  unit: string;
  floor: number;
  ratio: number;
}

const rows: Row[] = [];
/** @param floor what the value is compared with */
function report(name: string, metric: string, value: number, unit: string, floor: number): void {
  const ratio = Math.round(value / floor * 1000) / 1000;
  rows.push({ case: name, metric, value, unit, floor, ratio });
  const shown = value < 10 ? value.toFixed(2) : Math.round(value).toString();
  console.log(
    `${name.padEnd(44)} ${metric.padEnd(28)} ${shown.padStart(9)} ${unit}  (${ratio} of ${
      Math.round(floor)
    })`,
  );
}

const clusterIp = (index: number) => `10.96.${index >> 8}.${index & 255}`;

function service(index: number, external: boolean): Service {
  return {
    kind: "Service",
    metadata: { name: `s${index}`, namespace: "bench", labels: {} },
    spec: {
      clusterIP: clusterIp(index),
      ...(external ? { externalIPs: [`198.18.${index >> 8}.${index & 255}`] } : {}),
      ports: [{ port: 80 }],
    },
  };
}

/** @param addresses by default ten of the service's own */
function slice(index: number, addresses?: string[]): EndpointSlice {
  const own = Array.from({ length: BACKENDS }, (_, i) => {
    const n = index * BACKENDS + i;
    return `10.${128 + (n >> 16)}.${n >> 8 & 255}.${n & 255}`;
  });
  return {
    kind: "EndpointSlice",
    metadata: {
      name: `s${index}`,
      namespace: "bench",
      labels: { "kubernetes.io/service-name": `s${index}` },
    },
    addressType: "IPv4",
    ports: [{ name: "", port: addresses ? PORT : 8080 }],
    endpoints: packEndpoints((addresses ?? own).map((address) => ({ addresses: [address] }))),
  };
}

/** The agent's way from tables to maps, without sources and the rest of the node. */
class Way implements AsyncDisposable {
  readonly tables = createResourceTables();
  readonly #derivations = new DisposableStack();
  readonly maps: Record<string, TypedMap<unknown, unknown>> = {};
  readonly object: BpfObject;
  readonly #bpffs = temporaryBpffs();
  readonly #reconcilers: Reconciler<never>[] = [];
  readonly #serviceMaps: ServiceMaps;

  constructor(maglevRows: number) {
    this.object = BpfObject.open(readObject("socket"));
    using balancer = BpfObject.open(readObject("xdp"));
    using pods = BpfObject.open(readObject("pod"));
    for (const object of [this.object, balancer, pods]) {
      if (object.mapNames.includes("pilus_maglev")) {
        object.setMaxEntries("pilus_maglev", maglevRows);
      }
      object.pinMaps(this.#bpffs.path);
      object.load();
    }
    const open = <K, V>(descriptor: MapDescriptor<K, V>) => {
      const map = TypedMap.openPinned(`${this.#bpffs.path}/${descriptor.name}`, descriptor);
      this.maps[descriptor.name] = map as TypedMap<unknown, unknown>;
      return map;
    };
    const { services, addressRows } = this.#derive();
    this.#serviceMaps = new ServiceMaps({
      services: open(descriptors.pilus_services),
      backends: open(descriptors.pilus_backends),
      maglev: open(descriptors.pilus_maglev),
      maglevSize: MAGLEV_SIZE,
    });
    this.#reconcilers = [
      new Reconciler({
        name: "services",
        desired: services,
        target: this.#serviceMaps,
        matches: sameService,
      }),
      new Reconciler({
        name: "members",
        desired: services,
        target: new MemberMap(open(descriptors.pilus_backend_index)),
        matches: sameService,
      }),
      new Reconciler({
        name: "ipcache",
        desired: addressRows,
        target: mapTarget(open(descriptors.pilus_ipcache)),
      }),
    ] as unknown as Reconciler<never>[];
  }

  /** What an agent without pods derives from services. */
  #derive() {
    const use = <T extends Disposable>(tables: T) => this.#derivations.use(tables);
    const { nodes } = use(deriveNodes(this.tables.Node, "bench"));
    const ofDevices = new Table<LinkAddress>({ name: "addresses", key: String });
    const { nodeAddresses } = use(deriveNodeAddresses({ nodes, addresses: ofDevices }, "bench"));
    const localAddresses = localAddressTable();
    const cluster = {
      addresses: remoteAddressTable(),
      identities: identityTable(),
      apiServers: apiServerTable(),
    };
    const policies = use(derivePolicies({
      ...this.tables,
      ...cluster,
      subjects: localSubjectTable(),
      cookies: new Cookies(),
    }));
    const { frontends } = use(
      deriveFrontends({ ...this.tables, ...cluster, nodes, nodeAddresses, localAddresses }, {
        nodeName: "bench",
        routing: "native",
        balancing: { mode: "snat", dispatch: "ipip", algorithm: "maglev" },
        nodePortRange: [30000, 32767],
      }),
    );
    const { services, addresses } = use(
      deriveServiceRows({ frontends, nodes }, {
        routing: "native",
        clusterCidrs: ["10.128.0.0/9"],
        adopted: [],
      }),
    );
    const { addressRows } = use(deriveAddressRows({
      nodes,
      own: new Table<OwnAddress>({ name: "own-addresses", key: ({ address }) => String(address) }),
      published: cluster.addresses,
      identity: { identified: identifiedTable(), localAddresses },
      policy: { tables: policies, apiServers: cluster.apiServers },
      services: addresses,
    }));
    return { services, addressRows };
  }

  async start(): Promise<void> {
    for (const reconciler of this.#reconcilers) await reconciler.start();
  }

  /** Milliseconds until what `change` does to the tables is in the maps. */
  async time(change: () => void): Promise<number> {
    const start = performance.now();
    change();
    await settled();
    for (const reconciler of this.#reconcilers) await reconciler.flush();
    const took = performance.now() - start;
    for (const reconciler of this.#reconcilers) {
      const { failed, name } = reconciler.status() as { failed?: number; name: string };
      if (failed) throw new Error(`${failed} rows of ${name} failed`);
    }
    return took;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const reconciler of this.#reconcilers) {
      await (reconciler as unknown as AsyncDisposable)[Symbol.asyncDispose]();
    }
    this.#serviceMaps[Symbol.dispose]();
    this.#derivations.dispose();
    for (const map of Object.values(this.maps)) map[Symbol.dispose]();
    this.object[Symbol.dispose]();
    this.#bpffs[Symbol.dispose]();
  }
}

/** Bytes that the kernel accounts a map with. */
function memory({ raw }: { raw: BpfMap }): number {
  const info = Deno.readTextFileSync(`/proc/self/fdinfo/${raw.fd}`);
  return Number(/memlock:\s+(\d+)/.exec(info)?.[1] ?? 0);
}

function rss(): number {
  return Deno.memoryUsage().rss / 2 ** 20;
}

async function sync(count: number, external: boolean, limits: { all: number; more: number }) {
  const what = `${count.toLocaleString("en")} services x ${BACKENDS}${
    external ? ", Maglev tables" : ""
  }`;
  await using way = new Way(external ? 40_000 : 8192);
  await way.start();
  const before = rss();
  const { tables } = way;
  const all = await way.time(() => {
    for (let i = 0; i < count; i++) {
      tables.Service.set(service(i, external));
      tables.EndpointSlice.set(slice(i));
    }
  });
  report(what, "tables to maps", all, "ms", limits.all);
  const more: number[] = [];
  for (let i = 0; i < ONE_MORE; i++) {
    more.push(
      await way.time(() => {
        tables.EndpointSlice.set(slice(count + i));
        tables.Service.set(service(count + i, external));
      }),
    );
  }
  more.sort((a, b) => a - b);
  report(what, "one more, median", more[more.length >> 1]!, "ms", limits.more);
  report(what, "one more, longest of 50", more.at(-1)!, "ms", limits.more);
  for (const name of ["pilus_services", "pilus_backends", "pilus_maglev", "pilus_backend_index"]) {
    const bytes = memory(way.maps[name] as unknown as { raw: BpfMap });
    report(what, `memory of ${name}`, bytes / 2 ** 20, "MiB", 1);
  }
  report(what, "this process, RSS", rss(), "MiB", before);
}

const CLIENT = String.raw`
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(int argc, char **argv) {
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
	double end = now() + atof(argv[3]), begin = now();
	long n = 0;
	inet_pton(AF_INET, argv[1], &to.sin_addr);
	while (now() < end) {
		struct linger l = { 1, 0 };
		int s = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(s, (void *)&to, sizeof to)) { perror("connect"); return 1; }
		setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof l);
		close(s);
		n++;
	}
	printf("%.0f\n", n / (now() - begin));
}`;

const SERVER = String.raw`
#include <arpa/inet.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])) };
	int one = 1, l = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(l, (void *)&a, sizeof a) || listen(l, 1024)) return 1;
	puts("ready"); fflush(stdout);
	for (;;) close(accept(l, 0, 0));
}`;

/** Connections per second through the first and the last of so many services, and without any. */
async function connections(count: number): Promise<void> {
  const directory = Deno.makeTempDirSync({ dir: "/run", prefix: "pilus-bench-" });
  const cgroup = `${findCgroup()}/${directory.split("/").at(-1)}`;
  Deno.mkdirSync(cgroup);
  await using way = new Way(8192);
  const build = (name: string, text: string) => {
    Deno.writeTextFileSync(`${directory}/${name}.c`, text);
    const args = ["-O2", "-o", `${directory}/${name}`, `${directory}/${name}.c`];
    const { success, stderr } = new Deno.Command("clang-19", { args }).outputSync();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
  };
  build("client", CLIENT);
  build("server", SERVER);
  await way.start();
  await way.time(() => {
    for (let i = 0; i < count; i++) {
      way.tables.Service.set(service(i, false));
      way.tables.EndpointSlice.set(slice(i, ["127.0.0.1"]));
    }
  });
  using program = way.object.program("connect4");
  using _link = attachCgroup(program, { cgroup, attachType: AttachType.CGROUP_INET4_CONNECT });
  const inCgroup = (words: string[]) =>
    new Deno.Command("sh", {
      args: ["-c", 'echo 0 > "$0/cgroup.procs" && exec "$@"', cgroup, ...words],
      stdout: "piped",
    });
  const server = inCgroup(["taskset", "-c", "0", `${directory}/server`, String(PORT)]).spawn();
  try {
    const reader = server.stdout.getReader();
    await reader.read();
    await reader.cancel();
    const rate = (ip: string, port: number) => {
      const words = ["taskset", "-c", "1", `${directory}/client`, ip, String(port), "1"];
      const { success, stdout } = inCgroup(words).outputSync();
      if (!success) throw new Error(`No connection to ${ip}:${port}`);
      return Number(new TextDecoder().decode(stdout));
    };
    const measured: Record<"direct" | "first" | "last", number[]> = {
      direct: [],
      first: [],
      last: [],
    };
    for (let round = 0; round < 9; round++) {
      measured.direct.push(rate("127.0.0.1", PORT));
      measured.first.push(rate(clusterIp(0), 80));
      measured.last.push(rate(clusterIp(count - 1), 80));
    }
    const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;
    const [direct, first, last] = [measured.direct, measured.first, measured.last].map(median) as [
      number,
      number,
      number,
    ];
    const what = `connections, ${count.toLocaleString("en")} services`;
    report(what, "direct", direct, "per s", direct);
    report(what, "through the first, of direct", first, "per s", direct);
    report(what, "through the last, of direct", last, "per s", direct);
    report(what, "through the last, of first", last, "per s", first);
  } finally {
    server.kill();
    await server.status;
    Deno.removeSync(cgroup);
    Deno.removeSync(directory, { recursive: true });
  }
}

unshare(CLONE_NEWNET);
{
  using netlink = NetlinkSocket.open();
  setLink(netlink, "lo", { up: true });
}
await sync(10_000, false, { all: 3000, more: 20 });
await sync(1_000, true, { all: 2000, more: 20 });
await connections(10_000);
Deno.mkdirSync("dist/bench", { recursive: true });
Deno.writeTextFileSync("dist/bench/services.json", JSON.stringify(rows, null, 2) + "\n");
