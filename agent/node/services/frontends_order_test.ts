/** Services and their endpoints come in any order. */

import { assertEquals } from "@std/assert";
import { formatIp } from "../../../datapath/net/ip.ts";
import { generator } from "../../../datapath/testdata/random.ts";
import { settled } from "../../core/schedule.ts";
import { unpackBackends } from "./backend.ts";
import { derived, published, service, type shown, slice } from "./testdata/frontends.ts";

Deno.test("of an address in several slices the best state counts, in whatever order they come", async () => {
  const { Service, EndpointSlice, named, services } = derived();
  Service.set(service("web", {}));
  const conditions = {
    ready: { ready: true, serving: true, terminating: false },
    draining: { ready: false, serving: true, terminating: true },
    dead: { ready: false, serving: false, terminating: true },
    unready: { ready: false, serving: false, terminating: false },
  };
  const best = [
    ["ready", "dead", "active"],
    ["ready", "draining", "active"],
    ["draining", "dead", "terminating"],
    ["draining", "unready", "terminating"],
    ["dead", "unready", "unready"],
  ] as const;
  for (const [one, two, state] of best) {
    for (const order of [[one, two], [two, one]]) {
      order.forEach((name, i) => {
        const { metadata, ...rest } = slice([{
          addresses: ["10.60.1.5"],
          conditions: conditions[name],
          // what tells one entry from the other must not depend on the order either
          targetRef: { kind: "Pod", name },
        }]);
        EndpointSlice.set({ ...rest, metadata: { ...metadata, name: `web-${i}` } });
      });
      await settled();
      const [backend] = unpackBackends(named("web")[0]!.backends);
      assertEquals(backend?.state, state, order.join(", "));
      if (state === "unready") assertEquals(backend?.pod, "demo/dead");
    }
  }
  services[Symbol.dispose]();
});

Deno.test("deriveFrontends() comes to the same rows whatever the order of the changes", async () => {
  const seed = Number(Deno.env.get("SHUFFLE_SEED") ?? Math.floor(Math.random() * 2 ** 31));
  const random = generator(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;
  type Apply = (on: ReturnType<typeof derived>) => void;
  const names = ["a", "b", "c"];
  const ages = [{}, ...[1, 2].map((day) => ({ creationTimestamp: `2026-01-0${day}T00:00:00Z` }))];
  /** One version of one thing. */
  const versions: (() => [key: string, apply: Apply])[] = [
    () => {
      const number = random(3) + 1, name = names[number - 1]!;
      const claimed = random(3) + 1;
      const made = service(name, {
        clusterIP: `10.96.0.${claimed}`,
        type: pick(["ClusterIP", "NodePort", "LoadBalancer"]),
        externalIPs: pick([[], [`198.51.100.${number}`]]),
        externalTrafficPolicy: pick(["Cluster", "Local"]),
        healthCheckNodePort: 32000 + number,
        selector: { app: pick(["web", "db"]) },
        ports: [{ port: pick([80, 81]), nodePort: 30000 + claimed }],
      }, { metadata: { name, namespace: "demo", labels: {}, ...pick(ages) } });
      return [`Service ${name}`, (on) => on.Service.set(made)];
    },
    () => {
      const name = pick(names);
      return [`Service ${name}`, (on) => on.Service.delete(`demo/${name}`)];
    },
    () => {
      const i = random(3), owner = pick(names);
      const { metadata, ...rest } = slice(
        [5, 6, 7].filter(() => random(2)).map((n) => ({
          addresses: [`10.60.1.${n}`],
          conditions: {
            ready: random(2) === 1,
            serving: random(2) === 1,
            terminating: random(2) === 1,
          },
          nodeName: pick(["node-a", "node-b"]),
        })),
      );
      const labels = { "kubernetes.io/service-name": owner };
      const made = { ...rest, metadata: { ...metadata, name: `s${i}`, labels } };
      return [`EndpointSlice ${i}`, (on) => on.EndpointSlice.set(made)];
    },
    () => {
      const i = random(3);
      return [`EndpointSlice ${i}`, (on) => on.EndpointSlice.delete(`demo/s${i}`)];
    },
    () => {
      const n = random(4) + 5, app = pick(["web", "db"]), name = `p${n}`;
      const rows = published(name, n, app);
      return [`address ${n}`, (on) => {
        for (const row of rows) on.addresses.set(row);
      }];
    },
  ];
  const shown = (on: ReturnType<typeof derived>) => ({
    frontends: on.services.frontends.rows().map((row) => ({
      ...row,
      address: formatIp(row.address),
    }))
      .sort((x, y) => JSON.stringify(x) < JSON.stringify(y) ? -1 : 1),
    problems: on.problems(),
    checks: on.services.healthChecks.rows().sort((x, y) => x.port - y.port),
  });
  for (let round = 0; round < 30; round++) {
    const changes = Array.from({ length: 25 }, () => pick(versions)());
    const last = new Map(changes);
    const results: ReturnType<typeof shown>[] = [];
    for (let order = 0; order < 3; order++) {
      const on = derived();
      // what came before is forgotten: only the last version of each thing counts
      if (order > 0) {
        for (const [, apply] of [...changes].sort(() => random(2) - 0.5)) {
          apply(on);
          if (random(3) === 0) await settled();
        }
      }
      const final = [...last.values()];
      for (let i = final.length - 1; i > 0; i--) {
        const j = random(i + 1);
        [final[i], final[j]] = [final[j]!, final[i]!];
      }
      for (const apply of final) {
        apply(on);
        if (random(3) === 0) await settled();
      }
      await settled();
      results.push(shown(on));
      on.services[Symbol.dispose]();
    }
    for (const other of results) assertEquals(other, results[0], `SHUFFLE_SEED=${seed}`);
  }
});
