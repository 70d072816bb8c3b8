/** Whatever a server says, the source goes on, and is in sync with a server that is one afterwards. */

import { assertEquals } from "@std/assert";
import { Log } from "../../core/log.ts";
import { serveHttp, streamOf } from "../../kubernetes/client/_test_server.ts";
import { KubernetesSource } from "./kubernetes_source.ts";
import { generator } from "../../../datapath/testdata/random.ts";
import { watchedKinds } from "./watched_kinds.ts";

/** Hostile ones. */
const ANSWERS = 300;

/** An object of each kind, by resource. */
const OBJECTS: Record<string, object> = {
  networkpolicies: {
    spec: {
      podSelector: { matchLabels: { a: "b" } },
      ingress: [{ from: [{ ipBlock: { cidr: "192.0.2.0/24" } }], ports: [{ port: 80 }] }],
    },
  },
  ciliumnetworkpolicies: {
    spec: { endpointSelector: {}, ingress: [{ fromEndpoints: [{ matchLabels: { a: "b" } }] }] },
  },
  ciliumclusterwidenetworkpolicies: { specs: [{ endpointSelector: {}, ingress: [{}] }] },
  namespaces: {},
  nodes: {
    spec: { podCIDRs: ["10.1.0.0/24"] },
    status: { addresses: [{ type: "InternalIP", address: "192.0.2.1" }] },
  },
  pods: { spec: { nodeName: "n", containers: [{ name: "c", ports: [{ containerPort: 80 }] }] } },
  endpointslices: {
    addressType: "IPv4",
    ports: [{ name: "http", port: 80 }],
    endpoints: [{ addresses: ["10.1.0.2"], conditions: { ready: true } }],
  },
  services: { spec: { clusterIP: "10.96.0.1", ports: [{ port: 80, targetPort: "web" }] } },
};

const CLUSTER_WIDE = /^(ciliumclusterwide|namespaces|nodes)/;

/** What is found where something else should be. */
const ODD: readonly unknown[] = [
  ...[null, 0, -1, 0.5, "", "\0", "\x1b[31m\n", "\ud800", true, [], {}, [[]], [null]],
  ...[{ toString: 1, valueOf: 2 }, { length: -1 }, JSON.parse('{"__proto__":{"a":1}}')],
  ...["x".repeat(10_000), "0".repeat(5000), "::ffff:192.0.2.1", "192.0.2.1/33"],
];
const NAMES = ["__proto__", "constructor", "toString", "\0", "", "newer"];

Deno.test("KubernetesSource goes on whatever a server says, and is in sync when it is one", async () => {
  const choose = generator(1);
  const pick = <T>(items: readonly T[]): T => items[choose(items.length)]!;
  /** Changes something within the value, up to `most` times. */
  const spoilt = <T>(value: T, most: number): T => {
    const copy = structuredClone(value);
    for (let times = choose(most + 1); times > 0; times--) {
      for (let at = copy as Record<string, unknown>;;) {
        const keys = Object.keys(at);
        if (keys.length === 0) break;
        const key = pick(keys), part = at[key];
        if (typeof part === "object" && part !== null && choose(3) > 0) {
          at = part as Record<string, unknown>;
          continue;
        }
        if (choose(4) === 0) delete at[key];
        else at[choose(4) === 0 ? pick(NAMES) : key] = structuredClone(pick(ODD));
        break;
      }
    }
    return copy;
  };
  let version = 1;
  const objectOf = (resource: string) => {
    const namespace = CLUSTER_WIDE.test(resource) ? {} : { namespace: "demo" };
    const metadata = { name: "x", ...namespace, resourceVersion: String(++version) };
    return { metadata, ...OBJECTS[resource] };
  };
  const end = () => {
    const annotations = { "k8s.io/initial-events-end": "true" };
    return {
      type: "BOOKMARK",
      object: { metadata: { resourceVersion: `${version}`, annotations } },
    };
  };
  const lines = (events: object[]) => events.map((event) => JSON.stringify(event) + "\n");
  const hostile = (resource: string, watch: boolean): Response => {
    const items = Array.from({ length: choose(4) }, () => {
      const { metadata, ...rest } = objectOf(resource);
      const field = pick(["name", "namespace", "namespace", "labels", "annotations", "uid"]);
      return spoilt({ metadata: { ...metadata, [field]: pick(ODD) }, ...rest }, 2);
    });
    const events = items.map((object) => ({
      type: pick(["ADDED", "MODIFIED", "DELETED"]),
      object,
    }));
    const status = { code: 410, message: "why", details: { causes: [{ reason: "x" }] } };
    if (choose(8) === 0) {
      const headers = { location: "/version", "retry-after": pick(["0", "-1", "1e999", "x"]) };
      const code = pick([302, 307, 400, 401, 403, 404, 409, 410, 418, 422, 429, 500, 503]);
      return new Response(JSON.stringify(spoilt(status, 3)), { status: code, headers });
    }
    const said = watch
      ? lines([
        ...events,
        spoilt(end(), 1),
        ...events,
        spoilt({ type: "ERROR", object: status }, 2),
      ])
      : [JSON.stringify(spoilt({ metadata: { resourceVersion: `${version}` }, items }, 1))];
    const bytes = new TextEncoder().encode(said.join(""));
    if (choose(5) === 0) bytes[choose(bytes.length)] = choose(256);
    const encoding = choose(9) === 0 ? { "content-encoding": pick(["gzip", "br", "x"]) } : {};
    const part = choose(5) === 0 ? bytes.subarray(0, choose(bytes.length)) : bytes;
    return new Response(part, { headers: { "content-type": "application/json", ...encoding } });
  };
  let asked = 0;
  /** Versions that it has said since it is one. */
  const said = new Set<string>();
  await using server = serveHttp((_, url) => {
    const resource = url.pathname.split("/").at(-1)!;
    const watch = url.searchParams.has("watch");
    if (++asked <= ANSWERS) return hostile(resource, watch);
    if (!OBJECTS[resource]) return new Response("{}");
    const known = url.searchParams.get("resourceVersion");
    if (known !== null && !said.has(known)) return new Response("{}", { status: 410 });
    if (known !== null) return new Response(streamOf([], "open"));
    const object = objectOf(resource), resourceVersion = String(version);
    said.add(resourceVersion);
    if (!watch) return Response.json({ metadata: { resourceVersion }, items: [object] });
    return new Response(streamOf(lines([{ type: "ADDED", object }, end()]), "open"));
  });
  const directory = Deno.makeTempDirSync({ prefix: "pilus-hostile-" });
  try {
    await using source = new KubernetesSource({
      access: () => ({ servers: [server.url], origin: "test" }),
      nodeName: "n",
      savedPath: `${directory}/saved.db`,
      userAgent: "pilus/test",
      log: new (class extends Log {
        override warn() {}
      })("error"),
      timing: {
        ...{ silence: 2000, listSilence: 2000, stable: 100, absent: 5 },
        ...{ firstBackoff: 1, mostBackoff: 5, mostResumeBackoff: 5 },
      },
    });
    void source.start();
    const found = () => ({
      sizes: watchedKinds("n").map(({ kind }) => source.tables[kind].size),
      problems: source.tables.problems.size,
      stale: source.staleness(),
    });
    const wanted = { sizes: watchedKinds("n").map(() => 1), problems: 0, stale: undefined };
    const isSo = () => JSON.stringify(found()) === JSON.stringify(wanted);
    for (let i = 0; i < 1200 && !(asked > ANSWERS && isSo()); i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assertEquals(found(), wanted);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
