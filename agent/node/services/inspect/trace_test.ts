import { assertEquals, assertStringIncludes } from "@std/assert";
import { BackendFlags, IpcacheFlags, ServiceFlags } from "../../../../datapath/maps/generated.ts";
import { openMaps, type PilusMaps } from "../../../../datapath/maps/mod.ts";
import { temporaryBpffs } from "../../../../datapath/bpf/testdata/lab.ts";
import { Loader } from "../../../../datapath/loader.ts";
import { parseCidr, parseIp } from "../../../../datapath/net/ip.ts";
import { maglevHash, slotOf } from "../kernel/flow_hash.ts";
import { kernelFrontends, kernelTables, readTable } from "./kernel_view.ts";
import { readSlot } from "../kernel/maglev.ts";
import { type TraceQuestion, traceService } from "./trace.ts";

const SIZE = 251, TCP = 6, UDP = 17;
const FRONTEND = { address: parseIp("192.0.2.80"), port: 80, protocol: TCP };
const CLIENT = parseIp("198.51.100.7");

const question = (more: Partial<TraceQuestion> = {}): TraceQuestion => ({
  frontend: FRONTEND,
  client: CLIENT,
  clientPort: 40000,
  internal: false,
  maglevSize: SIZE,
  now: 100_000_000_000n,
  ...more,
});

/** Two backends in rows 1 and 2, the second on this node, and a table at row 1 whose slots take turns. */
async function withMaps(
  work: (maps: PilusMaps, service: (flags: number, more?: object) => void) => void,
) {
  using bpffs = temporaryBpffs();
  const path = `${bpffs.path}/pilus`;
  using _loader = await Loader.load({
    bpffs: path,
    routing: "native",
    masquerade: true,
    tunnelIfindex: 0,
    tunnelPort: 8472,
    mapSizes: { pilus_ct: 1024, pilus_nat: 1024, pilus_rules: 1024, pilus_ipcache: 1024 },
  });
  using maps = openMaps(`${path}/maps`);
  ["10.1.0.1", "10.2.0.1"].forEach((ip, i) => {
    const zero = maps.pilus_backends.get(0)!;
    const flags = i === 1 ? BackendFlags.LOCAL : 0;
    maps.pilus_backends.set(i + 1, { ...zero, address: parseIp(ip), port: 8080, flags });
  });
  const slots = Uint32Array.from({ length: 512 }, (_, i) => (i % 2) | ((i % 2) << 14));
  maps.pilus_maglev.raw.set(
    new Uint8Array(new Uint32Array([1]).buffer),
    new Uint8Array(slots.buffer),
  );
  const node = maps.pilus_node.get(0)!;
  maps.pilus_node.set(0, { ...node, ipv4: parseIp("192.0.2.1") });
  work(maps, (flags, more = {}) => {
    const side = { set: 1, count: 2, table: 1, total: 2, ...more };
    for (const protocol of [TCP, UDP]) {
      maps.pilus_services.set({ ...FRONTEND, protocol }, {
        id: 7,
        flags,
        affinityS: 0,
        side: [{ ...side, table: 0 }, side],
        ...more,
      });
    }
  });
  Loader.removeAll(path);
}

/** A port of the client whose slot is `now`. */
function portFor(now: number): number {
  for (let port = 1024;; port++) {
    const hash = maglevHash({
      source: CLIENT,
      destination: FRONTEND.address,
      sourcePort: port,
      destinationPort: 80,
      protocol: TCP,
    });
    if (slotOf(hash, SIZE) % 2 === now) return port;
  }
}

Deno.test("traceService() says which backend a flow gets, and what becomes of its packets", async () => {
  await withMaps((maps, service) => {
    assertEquals(traceService(maps, question()).verdict, "no service");
    service(0);
    assertEquals(traceService(maps, question()).verdict, "dropped");
    service(ServiceFlags.EXTERNAL);
    const [remote, local] = [0, 1].map((now) =>
      traceService(maps, question({ clientPort: portFor(now) }))
    );
    assertEquals(remote!.backends.map(({ address }) => address), ["10.1.0.1"]);
    assertStringIncludes(
      remote!.then!,
      "SNAT: the destination becomes 10.1.0.1:8080, the source 192.0.2.1",
    );
    assertStringIncludes(remote!.steps.at(-1)!, "of 251: now 0, before 0");
    assertEquals(local!.backends.map(({ address }) => address), ["10.2.0.1"]);
    assertStringIncludes(local!.then!, "on this node");
    service(ServiceFlags.EXTERNAL | ServiceFlags.DSR_IPIP);
    const dsr = traceService(maps, question({ clientPort: portFor(0) }));
    assertStringIncludes(dsr.then!, "DSR: sent to 10.1.0.1 in an IP tunnel");

    const { clientPort: _, ...anyPort } = question();
    const vague = traceService(maps, anyPort);
    assertEquals([vague.verdict, vague.backends.length], ["one of several", 2]);
    const socket = traceService(maps, question({ internal: true, cookie: 5n }));
    assertEquals(socket.verdict, "one of several");
    assertStringIncludes(socket.steps.at(-1)!, "translated at connect()");

    const { address, prefixLength } = parseCidr("198.51.100.0/24");
    maps.pilus_prefilter.set({ address, prefixLength }, 1);
    const denied = traceService(maps, question());
    assertEquals([denied.verdict, denied.steps.length], ["dropped", 1]);
    maps.pilus_prefilter.delete({ address, prefixLength });
    service(ServiceFlags.EXTERNAL, { count: 0 });
    assertEquals(traceService(maps, question()).verdict, "refused");

    const other = { address: parseIp("192.0.2.2"), port: 30080, protocol: TCP };
    const of = (more: object) => traceService(maps, question({ frontend: other, ...more })).verdict;
    const row = maps.pilus_services.get(FRONTEND)!;
    maps.pilus_services.set({ ...other, address: parseIp("127.0.0.1") }, {
      ...row,
      flags: ServiceFlags.NODE_PORT | ServiceFlags.EXTERNAL,
    });
    assertEquals(of({ internal: true }), "no service");
    maps.pilus_ipcache.set(other.address, {
      identity: 6,
      flags: IpcacheFlags.NODE,
      ifindex: 0,
      node: other.address,
    });
    assertEquals([of({ internal: true }), of({ internal: false })], ["refused", "no service"]);
  });
});

Deno.test("traceService() knows source ranges, affinity, memory and changed slots", async () => {
  await withMaps((maps, service) => {
    service(ServiceFlags.EXTERNAL | ServiceFlags.SOURCE_RANGES);
    assertEquals(traceService(maps, question()).verdict, "dropped");
    const range = (text: string) => {
      const { address, prefixLength } = parseCidr(text);
      maps.pilus_source_ranges.set({ prefixLength: prefixLength + 32, service: 7, address }, 1);
    };
    range("198.51.100.0/24");
    const within = traceService(maps, question());
    assertEquals(within.verdict, "backend");
    assertStringIncludes(within.steps[1]!, "198.51.100.0/24 lets it in");

    service(ServiceFlags.EXTERNAL, { affinityS: 60 });
    const keep = (used: bigint) =>
      maps.pilus_affinity.set(
        { client: CLIENT, service: 7 },
        { backend: parseIp("10.2.0.1"), port: 8080, row: 2, owner: 0, used },
      );
    keep(90_000_000_000n);
    const kept = traceService(maps, question({ clientPort: portFor(0) }));
    assertEquals(kept.backends[0]!.address, "10.2.0.1");
    assertStringIncludes(kept.steps.at(-1)!, "keeps 10.2.0.1:8080, last used 10 s ago");
    keep(0n);
    assertStringIncludes(traceService(maps, question()).steps[3]!, "100 s ago, and 60 s are kept");

    service(ServiceFlags.EXTERNAL);
    const ASK = 1 << 31, YOUNG = 1 << 30;
    const slots = Uint32Array.from({ length: 512 }, () => (0 | (1 << 14) | ASK | YOUNG) >>> 0);
    maps.pilus_maglev.raw.set(
      new Uint8Array(new Uint32Array([1]).buffer),
      new Uint8Array(slots.buffer),
    );
    assertEquals(traceService(maps, question()).backends[0]!.address, "10.1.0.1");
    const datagram = { ...FRONTEND, protocol: UDP };
    assertEquals(
      traceService(maps, question({ frontend: datagram })).backends[0]!.address,
      "10.2.0.1",
    );
    maps.pilus_choices.set({
      client: CLIENT,
      frontend: FRONTEND.address,
      clientPort: 40000,
      frontendPort: 80,
      protocol: TCP,
    }, { backend: parseIp("10.2.0.1"), port: 8080, row: 2, owner: 0, used: 0n });
    const remembered = traceService(maps, question());
    assertEquals(remembered.backends[0]!.address, "10.2.0.1");
    assertStringIncludes(remembered.steps.at(-1)!, "at 10.2.0.1:8080: it stays there");
  });
});

Deno.test("kernelFrontends() and kernelTables() show what the maps have", async () => {
  await withMaps((maps, service) => {
    service(ServiceFlags.EXTERNAL);
    const [tcp] = kernelFrontends(maps);
    assertEquals(tcp, {
      frontend: "192.0.2.80:80/TCP",
      id: 7,
      flags: ["external"],
      affinityS: 0,
      internal: tcp!.external,
      external: [
        { index: 0, address: "10.1.0.1", port: 8080, flags: [], hits: 0 },
        { index: 1, address: "10.2.0.1", port: 8080, flags: ["local"], hits: 0 },
      ],
      tables: { internal: 0, external: 1 },
    });
    assertEquals(kernelTables(maps, SIZE), [{
      table: 1,
      services: [7],
      slots: SIZE,
      shares: [
        { backend: "10.1.0.1:8080", slots: 126, share: 126 / SIZE },
        { backend: "10.2.0.1:8080", slots: 125, share: 125 / SIZE },
      ],
      moved: 0,
      young: 0,
      ask: 0,
    }]);
    assertEquals(readTable(maps, 1, SIZE).length, SIZE);
  });
});

Deno.test("readSlot() takes the flags and indexes apart", () => {
  assertEquals(readSlot((5 | (9 << 14) | (1 << 31)) >>> 0), {
    now: 5,
    before: 9,
    young: false,
    ask: true,
  });
});
