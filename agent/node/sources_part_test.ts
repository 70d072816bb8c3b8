import { assertEquals, assertStringIncludes } from "@std/assert";
import { formatIp } from "../../datapath/net/ip.ts";
import { Log } from "../core/log.ts";
import { deriveNodes } from "./nodes/nodes.ts";
import type { AgentConfig } from "./options.ts";
import { sourcesPart } from "./sources_part.ts";

Deno.test("findSelf() waits for pod CIDRs and an InternalIP of the node", async () => {
  const directory = Deno.makeTempDirSync();
  try {
    const manifests = `${directory}/manifests`;
    Deno.mkdirSync(manifests);
    const node = (rest: object) =>
      Deno.writeTextFileSync(
        `${manifests}/node.yaml`,
        JSON.stringify({ apiVersion: "v1", kind: "Node", metadata: { name: "here" }, ...rest }),
      );
    const spec = { podCIDRs: ["10.60.1.0/24"] };
    node({ spec });

    const waiting = Promise.withResolvers<string>();
    const config = {
      ...{ manifests, nodeName: "here", stateDir: `${directory}/state` },
      ...{ kubernetes: false, kubeconfig: "", apiServers: [] as string[] },
      clusterStore: "files",
    } as unknown as AgentConfig;
    const log = new class extends Log {
      override warn(message: string): void {
        waiting.resolve(message);
      }
    }();
    await using sources = sourcesPart({ config, log });
    using nodes = deriveNodes(sources.tables.Node, "here");
    const found = sources.findSelf(nodes, () => {
      throw new Error("a host with a manifest is none by itself");
    });
    assertStringIncludes(await waiting.promise, "podCIDRs and an InternalIP");

    node({ spec, status: { addresses: [{ type: "InternalIP", address: "192.168.60.1" }] } });
    assertEquals(formatIp((await found).ipv4!), "192.168.60.1");
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
