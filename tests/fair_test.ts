/** One pod floods what all pods share: the others' connections stay, and they get new ones. */

import { assertEquals, assertMatch } from "@std/assert";
import { type LabPod, OUTSIDE } from "../cli/lab/lab.ts";
import type { ConnectionView, Listing, MappingView } from "../agent/api/views.ts";
import { serviceManifest } from "./lab/balancer.ts";
import { PEER, settle, tcp, udp } from "./lab/clients.ts";
import { withLab } from "./lab/test_lab.ts";

/** New connections that each of the others asks for. */
const NEW = 20;

/** Not an address of the outside: packets to it are lost. */
const NOWHERE = "198.51.100.9";

const SERVICE = "10.96.5.1";

/** A TCP connection that is silent but for what it is asked. */
class Kept implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #ask: WritableStreamDefaultWriter<Uint8Array>;

  constructor(host: LabPod, ip: string, port: number) {
    this.#child = host.spawn([...PEER, "keep", ip, String(port)], {}, {
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    });
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#ask = this.#child.stdin.getWriter();
  }

  async open(): Promise<this> {
    assertEquals(JSON.parse((await this.#lines.read()).value!), { ok: true });
    return this;
  }

  /** What the other end says to it; undefined when the connection has ended. */
  async echo(text: string): Promise<string | undefined> {
    await this.#ask.write(new TextEncoder().encode(`${text}\n`));
    const { value } = await this.#lines.read();
    return value && JSON.parse(value).answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ask.close();
    await this.#lines.cancel();
    await this.#child.status;
  }
}

/** Floods by peer.py: what is sprayed, where to, and how many. */
const FLOODS = [
  ["udp", OUTSIDE.ipv4, 7000, 65_536],
  ["udp", OUTSIDE.ipv4, 7000, 196_608],
  // answered: these mappings do not give way
  ["syn", OUTSIDE.ipv4, 7000, 65_536],
  ["syn", NOWHERE, 1000, 327_680],
  ["fragment", NOWHERE, 7000, 65_536],
  ["udp", SERVICE, 7, 65_536],
] as const;

Deno.test("a pod that floods takes nothing from the others", async (t) => {
  const agentArgs = ["--map-size", "pilus_ct=131072,pilus_nat=131072,pilus_choices=32768"];
  await withLab({ nodes: 1, agentArgs }, async ({ lab, a, pod, serve, expectDrops }) => {
    expectDrops("Share of connections is spent", "Share of masqueraded ports is spent");
    await serve(lab.outside);
    const flooder = await pod(a, "flooder", { server: false });
    const quiet = await pod(a, "quiet", { server: false });
    const others = [await pod(a, "one"), await pod(a, "two")];
    lab.apply(
      "service",
      serviceManifest("web", { app: "one" }, {
        spec: {
          clusterIP: SERVICE,
          sessionAffinity: "ClientIP",
          ports: [{ name: "udp", port: 7, targetPort: 7000, protocol: "UDP" }],
        },
      }),
    );
    await settle(() => udp(others[1]!, SERVICE, 7), ({ ok }) => ok === true);
    await using outward = await new Kept(quiet, OUTSIDE.ipv4, 7000).open();
    await using inward = await new Kept(quiet, others[1]!.ipv4, 7000).open();
    /** The rows of what is kept, looked up before it says anything. */
    const ask = <T>(table: "ct" | "nat") => {
      const query = new URLSearchParams({ protocol: "tcp", ip: quiet.ipv4 });
      return a.client.call<Listing<T>>(`/v1/${table}?${query}`);
    };
    for (const [kind, ip, port, count] of FLOODS) {
      await t.step(`${count} times ${kind} to ${ip}`, async () => {
        const words = [...PEER, "spray", kind, flooder.ipv4, ip, String(port), String(count)];
        assertEquals((await flooder.exec(words)).stderr, "");
        assertEquals((await ask<ConnectionView>("ct")).total, 2, "connections");
        assertEquals((await ask<MappingView>("nat")).total, 1, "mappings");
        for (const kept of [outward, inward]) assertEquals(await kept.echo(kind), kind);
        const asked = others.flatMap((other) =>
          Array.from(
            { length: NEW },
            (_, i) =>
              i % 2 ? tcp(other, OUTSIDE.ipv4) : udp(other, OUTSIDE.ipv4, 7000, i % 4 ? 64 : 4000),
          )
        );
        const failed = (await Promise.all(asked)).filter(({ ok }) => !ok);
        assertEquals(failed, []);
        assertEquals((await udp(others[1]!, SERVICE, 7)).ok, true);
      });
    }
    await t.step("status names it, until it has stopped", async () => {
      assertMatch((await a.cli("status")).stdout, /demo\/flooder: it has as many/);
      assertMatch((await a.cli("endpoint", "get", "demo/flooder")).stdout, /refused\s+\d+\s+times/);
      await settle(() => tcp(flooder, OUTSIDE.ipv4), ({ ok }) => ok === true);
    });
  });
});
