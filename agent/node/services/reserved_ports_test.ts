import { assertEquals, assertThrows } from "@std/assert";
import type { FileDescriptor } from "../../../datapath/bpf/ffi/libc.ts";
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  openNamespace,
  readSysctl,
  writeSysctls,
} from "../../../datapath/net/netns.ts";
import { Reconciler } from "../../core/reconciler.ts";
import { Table } from "../../core/table.ts";
import {
  formatPorts,
  parsePorts,
  reservation,
  type ReservedPort,
  ReservedPorts,
} from "./reserved_ports.ts";

const SYSCTL = "ipv4/ip_local_reserved_ports";

Deno.test("ports are ranges in text", () => {
  assertEquals([...parsePorts("80,1000-1002\n")], [80, 1000, 1001, 1002]);
  assertEquals(formatPorts([1002, 80, 1000, 1001]), "80,1000-1002");
  assertEquals([formatPorts([]), parsePorts("").size], ["", 0]);
  for (const wrong of ["a", "5-", "7-3", "70000", "-1", "1.5"]) {
    assertThrows(() => parsePorts(wrong), RangeError, "Not a range of ports");
  }
});

/** A network namespace and a run directory. */
class Host implements Disposable {
  readonly directory = Deno.makeTempDirSync();
  readonly #path = `${this.directory}/net`;
  readonly #namespace: FileDescriptor;

  constructor() {
    createNamespace(this.#path);
    this.#namespace = openNamespace(this.#path);
  }

  in<T>(act: () => T): T {
    return inNamespace(this.#namespace.fd, act);
  }

  get ports(): string {
    return this.in(() => readSysctl(SYSCTL, 500_000)!);
  }

  [Symbol.dispose](): void {
    this.#namespace[Symbol.dispose]();
    deleteNamespace(this.#path);
    Deno.removeSync(this.directory, { recursive: true });
  }
}

const row = (port: number): ReservedPort => ({ port });
const noDesire = () => new Table<ReservedPort>({ name: "t", key: ({ port }) => String(port) });

Deno.test("ReservedPorts adds to what others reserve, and takes away only its own", () => {
  using host = new Host();
  host.in(() => writeSysctls([[SYSCTL, "22,8080"]]));
  const desired = noDesire();
  const ports = new ReservedPorts(host.directory, desired);
  host.in(() => ports.apply([8080, 30000, 30001].map(row), []));
  assertEquals(host.ports, "22,8080,30000-30001");
  desired.replace([8080, 30000].map(row));
  // another agent goes on with what this one has noted
  const next = new ReservedPorts(host.directory, desired);
  assertEquals(host.in(() => [...next.read()].map(({ port }) => port)), [8080, 30000, 30001]);
  host.in(() => next.apply([], [8080, 30001].map(row)));
  assertEquals(host.ports, "22,8080,30000");
  assertEquals(host.in(() => reservation(host.directory)?.ports), "30000");
  host.in(() => reservation(host.directory)!.release());
  assertEquals(host.ports, "22,8080");
  assertEquals(host.in(() => reservation(host.directory)), undefined);
});

Deno.test("ReservedPorts takes the last port away", () => {
  using host = new Host();
  const ports = new ReservedPorts(host.directory, noDesire());
  host.in(() => ports.apply([row(30000)], []));
  host.in(() => ports.apply([], [row(30000)]));
  assertEquals(host.ports, "");
});

Deno.test("ReservedPorts has room for every second port", () => {
  using host = new Host();
  const all = Array.from({ length: 32_000 }, (_, i) => row(1024 + 2 * i));
  const ports = new ReservedPorts(host.directory, noDesire());
  host.in(() => ports.apply(all, []));
  assertEquals(parsePorts(host.ports).size, all.length);
  assertEquals(host.in(() => [...ports.read()].length), all.length);
});

Deno.test("a note that was spoilt makes no port ours", () => {
  using host = new Host();
  host.in(() => writeSysctls([[SYSCTL, "22"]]));
  Deno.writeTextFileSync(`${host.directory}/reserved-ports`, "22,\0\0");
  assertEquals(host.in(() => reservation(host.directory)), undefined);
});

Deno.test("a port that somebody has reserved already is no repair each time", async () => {
  using host = new Host();
  host.in(() => writeSysctls([[SYSCTL, "30000"]]));
  const desired = noDesire();
  desired.replace([row(30000), row(30001)]);
  const inner = new ReservedPorts(host.directory, desired);
  await using reconciler = new Reconciler({
    name: "reserved-ports",
    desired,
    target: {
      read: () => host.in(() => [...inner.read()]),
      apply: (upserts: ReservedPort[], deletes: ReservedPort[]) =>
        host.in(() => inner.apply(upserts, deletes)),
    },
  });
  await reconciler.start();
  assertEquals(host.ports, "30000-30001");
  assertEquals(await reconciler.repair(), 0);
  host.in(() => writeSysctls([[SYSCTL, "30000"]]));
  assertEquals(await reconciler.repair(), 1);
  assertEquals(host.ports, "30000-30001");
});
