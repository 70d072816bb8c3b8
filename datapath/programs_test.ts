import { Loader } from "./loader.ts";
import { temporaryBpffs, temporaryVeth } from "./bpf/testdata/lab.ts";

Deno.test("the programs load within their time and attach to a device", () => {
  using bpffs = temporaryBpffs();
  using veth = temporaryVeth();
  const path = `${bpffs.path}/pilus`;
  using loader = Loader.load({
    bpffs: path,
    routing: "vxlan",
    masquerade: true,
    tunnelIfindex: veth.ifindex,
    tunnelPort: 8472,
  });
  for (const kind of ["pod", "host", "overlay"] as const) {
    loader.attachDevice(kind, veth.ifindex, kind);
    loader.detachDevice(veth.ifindex, kind);
  }
  Loader.removeAll(path);
});
