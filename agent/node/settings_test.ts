import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { OptionError } from "../core/option.ts";
import { parseConfig } from "./config_file.ts";
import { ALL_OPTIONS } from "./options.ts";
import { configOf, settingsOf, type Sources, unknownVariables } from "./settings.ts";

const NAMES = ALL_OPTIONS.map(({ name }) => name);
const file = (text: string) => parseConfig("agent.yaml", text, NAMES);
const setting = (name: string, sources: Sources) =>
  settingsOf(sources).find(({ option }) => option === name)!;

Deno.test("settingsOf() takes the flag, else the variable, else the file, else the default", () => {
  const flags = new Map([["routing", "native"]]);
  const environment = { PILUS_ROUTING: "vxlan", PILUS_TUNNEL_PORT: "4789", PILUS_METRICS: "" };
  const inFile = file("# ours\nrouting: vxlan\ntunnel-port: 8473\nlb-mode: dsr\n");
  const sources = { flags, environment, file: inFile };
  for (
    const [name, value, source, where] of [
      ["routing", "native", "flag", "--routing"],
      ["tunnel-port", 4789, "environment", "PILUS_TUNNEL_PORT"],
      ["lb-mode", "dsr", "file", "agent.yaml:4"],
      ["dsr-dispatch", "ipip", "default", ""],
      ["metrics", "", "default", ""],
    ] as const
  ) {
    assertEquals(setting(name, sources), { option: name, value, source, where });
  }
});

Deno.test("settingsOf() reads each kind of value from variables and files alike", () => {
  const environment = {
    PILUS_MASQUERADE: "false",
    PILUS_CLUSTER_CIDR: "10.60.0.0/16,fd60::/16",
    PILUS_MAP_SIZE: "pilus_ct=1000,pilus_nat=2000",
    PILUS_NODE_PORT_RANGE: "31000-31999",
  };
  const inFile = file(
    "masquerade: false\ncluster-cidr: [10.60.0.0/16, 'fd60::/16']\n" +
      "map-size: {pilus_ct: 1000, pilus_nat: 2000}\nnode-port-range: 31000-31999\n",
  );
  const configs = [{ environment }, { file: inFile }].map((sources) =>
    configOf(settingsOf(sources))
  );
  assertEquals(configs[0], configs[1]);
  const { masquerade, clusterCidrs, mapSizes, nodePortRange, maglevSize, cniBinDir } = configs[0]!;
  assertEquals(
    { masquerade, clusterCidrs, mapSizes, nodePortRange, maglevSize, cniBinDir },
    {
      masquerade: false,
      clusterCidrs: ["10.60.0.0/16", "fd60::/16"],
      mapSizes: { pilus_ct: 1000, pilus_nat: 2000 },
      nodePortRange: [31000, 31999],
      maglevSize: 16381,
      cniBinDir: "/opt/cni/bin",
    },
  );
});

Deno.test("a node's pod CIDRs are at most one a family, written as prefixes are, or none", () => {
  const given = (...list: string[]) =>
    configOf(settingsOf({ flags: new Map([["pod-cidr", list]]) })).podCidrs;
  assertEquals(given("10.61.0.7/24", "fd61::1/64"), ["10.61.0.0/24", "fd61::/64"]);
  assertEquals(given("fd61::/64"), ["fd61::/64"]);
  assertEquals(given("none"), []);
  assertEquals(configOf(settingsOf({})).podCidrs, ["10.222.0.0/24", "fd70:696c:7573::/64"]);
});

for (
  const [name, sources, message] of [
    ["a choice", { environment: { PILUS_XDP: "nativ" } }, "PILUS_XDP takes auto, best, native"],
    ["a port", { environment: { PILUS_TUNNEL_PORT: "0" } }, "from 1 to 65535, not `0`"],
    ["a port with a point", { environment: { PILUS_TUNNEL_PORT: "1.5" } }, "whole number"],
    ["a switch", { environment: { PILUS_MASQUERADE: "yes" } }, "takes true or false, not `yes`"],
    ["a range", { environment: { PILUS_NAT_PORT_RANGE: "9-1" } }, "takes FIRST-LAST"],
    [
      "a prefix",
      { flags: new Map([["cluster-cidr", ["10.0.0.0/33"]]]) },
      "--cluster-cidr takes pre",
    ],
    ...["10.61.0.0/31", "fd61::/127", "10.61.0.0/24,10.62.0.0/24", "none,fd61::/64", "10.61"].map(
      (list): [string, Sources, string] => [
        `a pod CIDR (${list})`,
        { environment: { PILUS_POD_CIDR: list } },
        `each family that pods shall have, such as 10.61.0.0/24,fd61::/64, not \`${list}\``,
      ],
    ),
    ["a map", { environment: { PILUS_MAP_SIZE: "pilus_cr=1" } }, "did you mean `pilus_ct`?"],
    ["a size", { environment: { PILUS_MAP_SIZE: "pilus_ct=9999999999" } }, "to 4294967295 rows"],
    ["a name of an object", { environment: { PILUS_MAP_SIZE: "constructor=1" } }, "the names are"],
    ["an address", { environment: { PILUS_METRICS: "9962" } }, "takes HOST:PORT"],
  ] as [string, Sources, string][]
) {
  Deno.test(`settingsOf() refuses ${name} that is wrong, and says what is taken`, () => {
    assertStringIncludes(assertThrows(() => settingsOf(sources), OptionError).message, message);
  });
}

for (
  const [name, text, message] of [
    [
      "an unknown key",
      "routing: native\nroutign: vxlan\n",
      "agent.yaml:2: there is no option `rou",
    ],
    ["a near miss", "lb-moed: dsr\n", "did you mean `lb-mode`?"],
    ["a key twice", "routing: native\nrouting: vxlan\n", "agent.yaml:2: Map keys must be unique"],
    ["what is no YAML", "routing: [\n", "agent.yaml:"],
    ["a list at the top", "- routing\n", "agent.yaml:1: must be a map of options"],
    ["a key without a value", "\nrouting:\n", "agent.yaml:2: routing must be a value"],
    ["a value that is too deep", "device: [[eth0]]\n", "agent.yaml:1: device must be a value"],
    ["too much", "#".repeat(1024 * 1024 + 1), "agent.yaml has more than 1048576 characters"],
  ] as const
) {
  Deno.test(`parseConfig() refuses ${name}, with the line`, () => {
    assertStringIncludes(assertThrows(() => file(text), OptionError).message, message);
  });
}

Deno.test("parseConfig() takes an empty file, and texts as they are written", () => {
  assertEquals(file("# nothing\n").size, 0);
  assertEquals(file("node-name: 007\n").get("node-name")!.texts, ["007"]);
});

Deno.test("settingsOf() wants one value where a file has several", () => {
  const message = assertThrows(() => settingsOf({ file: file("xdp: [off]\n") })).message;
  assertEquals(message, "agent.yaml:1: xdp takes one value, not several");
});

Deno.test("unknownVariables() names those that are no option, with the nearest", () => {
  const known = { PILUS_XDP: "off", PILUS_SOCKET: "/s", HOME: "/" };
  assertEquals(unknownVariables({ ...known, PILUS_ROUTIN: "native" }), [
    "No option is called PILUS_ROUTIN; did you mean `PILUS_ROUTING`?",
  ]);
});
