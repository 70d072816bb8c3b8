import { assertEquals } from "@std/assert";
import { compileBpf } from "../scripts/compile_bpf.ts";
import {
  attachCgroup,
  attachTc,
  AttachType,
  attachXdp,
  BpfObject,
  features,
  LinkType,
  programsAt,
} from "./bpf/mod.ts";
import { temporaryCgroup, temporaryVeth } from "./bpf/testdata/lab.ts";
import { FileDescriptor } from "./bpf/ffi/libc.ts";
import { getLink } from "./net/link.ts";
import { NetlinkSocket } from "./net/netlink.ts";
import { detachStale, detachStaleAt } from "./stale_links.ts";

/** Programs that use a map of that name. */
function programs(map: string): Uint8Array {
  return compileBpf(`
    #include <linux/bpf.h>
    #include <bpf/bpf_helpers.h>
    char _license[] SEC("license") = "GPL";
    struct {
      __uint(type, BPF_MAP_TYPE_ARRAY);
      __uint(max_entries, 1);
      __type(key, __u32);
      __type(value, __u32);
    } ${map} SEC(".maps");
    static __always_inline int used(int result)
    {
      __u32 zero = 0;
      __u32 *value = bpf_map_lookup_elem(&${map}, &zero);
      return value && *value ? 0 : result;
    }
    SEC("tc") int pass(struct __sk_buff *skb) { return used(-1); }
    SEC("xdp") int receive(struct xdp_md *ctx) { return used(2); }
    SEC("cgroup_skb/egress") int egress(struct __sk_buff *skb) { return used(1); }
  `);
}

const ofAgent = programs("pilus_something"), ofOthers = programs("something");

/** Loads an object for as long as the stack lives. */
function load(stack: DisposableStack, file: Uint8Array): BpfObject {
  return stack.use(BpfObject.open(file).load());
}

Deno.test({
  name: "an earlier agent's programs go from a device, and nobody else's",
  ignore: !features().tcx,
  fn() {
    using stack = new DisposableStack();
    const { ifindex } = stack.use(temporaryVeth());
    const [earlier, other, own] = [ofAgent, ofOthers, ofAgent].map((file) => {
      const program = stack.use(load(stack, file).program("pass"));
      stack.use(attachTc(program, { ifindex, direction: "ingress" }));
      return program.id;
    });
    const there = () => programsAt(ifindex, AttachType.TCX_INGRESS);
    const detach = () =>
      detachStaleAt({ linkType: LinkType.TCX, ifindex }, ifindex, AttachType.TCX_INGRESS, own!);
    assertEquals(there(), [earlier, other, own]);
    assertEquals(detach(), 1);
    assertEquals(there(), [other, own]);
    assertEquals(detach(), 0);
  },
});

Deno.test("an earlier agent's programs go from a cgroup, and nobody else's", () => {
  using stack = new DisposableStack();
  const { path } = stack.use(temporaryCgroup());
  const [earlier, other, own] = [ofAgent, ofOthers, ofAgent].map((file) => {
    const program = stack.use(load(stack, file).program("egress"));
    stack.use(attachCgroup(program, { cgroup: path }));
    return program.id;
  });
  const directory = stack.use(FileDescriptor.open(path));
  const type = AttachType.CGROUP_INET_EGRESS;
  const cgroupId = BigInt(Deno.statSync(path).ino!);
  const there = () => programsAt(directory.fd, type).sort();
  assertEquals(there(), [earlier, other, own].sort());
  const hook = { linkType: LinkType.CGROUP, cgroupId };
  assertEquals(detachStaleAt(hook, directory.fd, type, own!), 1);
  assertEquals(there(), [other, own].sort());
});

for (const [whose, file, goes] of [["agent", ofAgent, 1], ["somebody", ofOthers, 0]] as const) {
  Deno.test(`XDP of an earlier ${whose} ${goes ? "makes room" : "stays"}`, () => {
    using stack = new DisposableStack();
    const { ifindex } = stack.use(temporaryVeth());
    const program = stack.use(load(stack, file).program("receive"));
    stack.use(attachXdp(program, { ifindex, mode: "native" }));
    const netlink = stack.use(NetlinkSocket.open());
    const there = () => getLink(netlink, ifindex).xdpProgram;
    assertEquals(there(), program.id);
    assertEquals(detachStale({ linkType: LinkType.XDP, ifindex }, [there()], 0), goes);
    assertEquals(there(), goes ? 0 : program.id);
  });
}
