/** The plugin's ADD and DEL, as a runtime sees them, beside Debian's plugins. */

import { createNamespace, deleteNamespace } from "../../../datapath/net/netns.ts";
import { PILUS, withNode } from "./node.ts";
import { quantile, report, timed } from "./report.ts";

/** Of Debian's containernetworking-plugins. */
const PLUGINS = "/usr/lib/cni";
const ADDS = 50;

/** From the start of the plugin to its end, as a runtime sees it, beside Debian's plugins. */
export async function cni(): Promise<void> {
  await withNode([], async (node) => {
    node.startAgent();
    await node.ready();
    const { directory } = node.lab;
    const run = async (program: string, command: string, id: string, config: unknown) => {
      const { code, stdout, stderr } = await node.exec([program], {
        input: JSON.stringify(config),
        env: {
          CNI_COMMAND: command,
          CNI_CONTAINERID: id,
          CNI_NETNS: `${directory}/${id}`,
          CNI_IFNAME: "eth0",
          CNI_PATH: PLUGINS,
        },
      });
      if (code !== 0) throw new Error(`${program} ${command}: ${stdout}${stderr}`);
    };
    const peer = (type: string, subnet: string, more: Record<string, unknown> = {}) => ({
      name: `${type} + host-local`,
      program: `${PLUGINS}/${type}`,
      config: {
        cniVersion: "1.0.0",
        name: `bench-${type}`,
        type,
        ipam: { type: "host-local", subnet, dataDir: `${directory}/host-local` },
        ...more,
      },
    });
    const plugins = [
      { name: "pilus", program: PILUS, config: node.cniConfig() },
      peer("bridge", "10.98.0.0/16", { bridge: "bench0" }),
      peer("ptp", "10.99.0.0/16"),
    ].filter(({ program }) => exists(program));
    const times = plugins.map((plugin) => ({
      ...plugin,
      add: [] as number[],
      del: [] as number[],
    }));
    const process: number[] = [], program: number[] = [];
    for (let round = 0; round < ADDS; round++) {
      process.push(await timed(() => node.exec(["/bin/true"])));
      program.push(await timed(() => run(PILUS, "VERSION", "none", node.cniConfig())));
      for (const [i, { program, config, add, del }] of times.entries()) {
        const id = `pod-${i}-${round}`;
        createNamespace(`${directory}/${id}`);
        add.push(await timed(() => run(program, "ADD", id, config)));
        // pilus keeps its pods: the last one is as fast as the first
        if (program !== PILUS) del.push(await timed(() => run(program, "DEL", id, config)));
      }
    }
    for (let round = 0; round < ADDS; round++) {
      const { program, config, del } = times[0]!;
      del.push(await timed(() => run(program, "DEL", `pod-0-${round}`, config)));
    }
    for (const [i] of times.entries()) {
      for (let round = 0; round < ADDS; round++) deleteNamespace(`${directory}/pod-${i}-${round}`);
    }
    const start = quantile(process, 0.5);
    report("CNI VERSION, the program's start", "median", quantile(program, 0.5) - start, "ms");
    const [own, ...peers] = times;
    for (const [verb, of] of [["ADD", "add"], ["DEL", "del"]] as const) {
      for (const [metric, q] of [["median", 0.5], ["p99", 0.99]] as const) {
        const value = quantile(own![of], q) - start;
        if (peers.length === 0) report(`CNI ${verb}`, metric, value, "ms");
        for (const { name, [of]: theirs } of peers) {
          const against = { peer: name, value: quantile(theirs, q) - start };
          report(`CNI ${verb}`, metric, value, "ms", against);
        }
      }
    }
  });
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
