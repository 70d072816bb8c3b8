import { assertEquals, assertStringIncludes } from "@std/assert";
import { attachXdp, BpfObject, type BpfProgram, makePinDirectory } from "./bpf/mod.ts";
import { compile } from "./bpf/testdata/build.ts";
import { temporaryBpffs } from "./bpf/testdata/lab.ts";
import {
  createBridge,
  createVeth,
  deleteLink,
  getLink,
  setLink,
  type XdpMode,
} from "./net/link.ts";
import { NetlinkSocket } from "./net/netlink.ts";
import { createNamespace, deleteNamespace, inNamespace, openNamespace } from "./net/netns.ts";
import {
  attachXdpDevice,
  detachXdpDevice,
  type XdpChoice,
  type XdpDeviceState,
} from "./xdp_device.ts";

const sample = compile("sample");

interface Bench {
  program: BpfProgram;
  netlink: NetlinkSocket;
  pins: string;
  attach(device: string, choice?: XdpChoice): XdpDeviceState;
  /** How the kernel says that the device runs its program. */
  mode(device: string): XdpMode;
}

/** A namespace with `eth0`, a veth, and its peer; the calling thread is in it. */
function withDevices(work: (bench: Bench) => void): void {
  using bpffs = temporaryBpffs();
  const pins = `${bpffs.path}/links`;
  makePinDirectory(pins);
  using object = BpfObject.open(sample).load();
  using program = object.program("xdp_pass");
  const path = Deno.makeTempFileSync({ dir: "/run" });
  Deno.removeSync(path);
  createNamespace(path);
  try {
    using namespace = openNamespace(path);
    inNamespace(namespace.fd, () => {
      using netlink = NetlinkSocket.open();
      createVeth(netlink, { name: "eth0", mtu: 1500, peer: { name: "peer" } });
      for (const name of ["lo", "eth0", "peer"]) setLink(netlink, name, { up: true });
      const pin = (device: string) => `${pins}/${device.replaceAll(".", "%")}-xdp`;
      work({
        program,
        netlink,
        pins,
        attach: (device, choice = "best") =>
          attachXdpDevice(program, {
            ifindex: getLink(netlink, device).ifindex,
            pin: pin(device),
            choice,
          }),
        mode: (device) => getLink(netlink, device).xdp,
      });
    });
  } finally {
    deleteNamespace(path);
  }
}

Deno.test("attachXdpDevice() runs in the driver of a veth and is taken off again", () => {
  withDevices(({ attach, mode, pins }) => {
    const native = { device: "eth0", mode: "native", reason: "veth runs it" } as const;
    assertEquals(attach("eth0"), native);
    assertEquals(mode("eth0"), "native");
    assertEquals(attach("eth0"), native, "again, in place");
    detachXdpDevice(`${pins}/eth0-xdp`);
    assertEquals(mode("eth0"), "none");
    detachXdpDevice(`${pins}/eth0-xdp`);
    assertEquals([...Deno.readDirSync(pins)], []);
  });
});

Deno.test("attachXdpDevice() says in the kernel's words why the driver cannot, and goes after it", () => {
  withDevices(({ attach, mode, netlink }) => {
    setLink(netlink, "peer", { mtu: 9000 });
    setLink(netlink, "eth0", { mtu: 9000 });
    const large = attach("eth0");
    assertEquals([large.mode, mode("eth0")], ["generic", "generic"]);
    assertStringIncludes(large.reason, "veth refuses native XDP at an MTU of 9000: ");
    assertStringIncludes(large.reason, "Peer MTU is too large");
    assertEquals(getLink(netlink, "eth0").mtu, 9000, "the MTU is the operator's");

    setLink(netlink, "peer", { mtu: 1500 });
    setLink(netlink, "eth0", { mtu: 1500 });
    assertEquals([attach("eth0").mode, mode("eth0")], ["native", "native"]);
  });
});

Deno.test("attachXdpDevice() goes after drivers without XDP: lo and bridge", () => {
  withDevices(({ attach, mode, netlink }) => {
    assertEquals(attach("lo"), {
      device: "lo",
      mode: "generic",
      reason: "lo has no native XDP",
    });
    createBridge(netlink, "br0.7");
    const bridge = {
      device: "br0.7",
      mode: "generic",
      reason: "bridge has no native XDP",
    } as const;
    assertEquals([attach("br0.7"), mode("br0.7")], [bridge, "generic"]);
    assertEquals(attach("br0.7", "native"), { ...bridge, mode: "tc" });
    assertEquals(mode("br0.7"), "none");
  });
});

Deno.test("attachXdpDevice() does what the operator says", () => {
  withDevices(({ attach, mode, pins }) => {
    assertEquals(attach("eth0", "generic").reason, "chosen by --xdp generic");
    assertEquals(mode("eth0"), "generic");
    assertEquals(attach("eth0", "native").mode, "native");
    assertEquals(attach("eth0", "generic").mode, "generic");
    assertEquals([attach("eth0").mode, mode("eth0")], ["native", "native"]);
    // a veth's packets have unfinished checksums, which XDP cannot see
    assertEquals([attach("eth0", "auto").mode, mode("eth0")], ["tc", "none"]);
    assertEquals([attach("lo", "auto").mode, mode("lo")], ["generic", "generic"]);
    assertEquals(attach("lo", "off").mode, "tc");
    assertEquals(attach("eth0", "off"), {
      device: "eth0",
      mode: "tc",
      reason: "XDP is switched off by --xdp off",
    });
    assertEquals(mode("eth0"), "none");
    assertEquals([...Deno.readDirSync(pins)], []);
  });
});

Deno.test("attachXdpDevice() leaves another's program alone, and forgets a device that was made anew", () => {
  withDevices(({ attach, mode, netlink, program }) => {
    {
      const { ifindex } = getLink(netlink, "eth0");
      using _other = attachXdp(program, { ifindex, mode: "native" });
      const state = attach("eth0");
      assertEquals([state.mode, mode("eth0")], ["tc", "native"]);
      assertStringIncludes(state.reason, "another XDP program is on the device");
    }
    assertEquals(attach("eth0").mode, "native");
    deleteLink(netlink, "eth0");
    createVeth(netlink, { name: "eth0", mtu: 1500, peer: { name: "peer" } });
    assertEquals([attach("eth0").mode, mode("eth0")], ["native", "native"]);
  });
});
