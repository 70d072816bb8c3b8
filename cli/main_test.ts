import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ApiError, type ApiRoutes, serveApi } from "../agent/api/server.ts";
import { VERSION } from "../agent/node/config.ts";
import { argv, command, environment, pilus } from "./testdata/program.ts";
import { ROUTES, unwell } from "./testdata/views.ts";

const WIDTH = 100;

async function withAgent(
  routes: ApiRoutes,
  body: (socket: string, directory: string) => Promise<void>,
): Promise<void> {
  const directory = Deno.makeTempDirSync();
  try {
    const socket = `${directory}/pilus.sock`;
    await using _server = await serveApi({ socket, routes });
    await body(socket, directory);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("every listing fits a terminal, and is valid JSON", async (t) => {
  await withAgent(ROUTES, async (socket) => {
    for (
      const [line, parts] of [
        ["status", [
          "node-a: ok\n",
          "XDP:       eth0 native (virtio_net runs it), eth1 generic",
          "Addresses: ipv4 3 of 253, ipv6 3 of 65533",
          "E2BIG",
        ]],
        ["endpoint list", ["demo/web-", "fd60:1:2:3::2", "302  ingress   ready", "app=web,"]],
        ["endpoint get 2", ["Pod:          demo/web-7d5b9c7c4-x2x2\n", "pilus policy get 2"]],
        ["identity list", ["302          1  k8s:app=web", "reserved:host"]],
        ["node list", ["node-a (this)  192.168.60.1  fd60:60::1", "node-b "]],
        ["service list", [
          "[fd60:96::80]:80/TCP",
          "2 of 3, 1 terminating",
          "none: connections are refused",
        ]],
        ["service get demo/web", [
          "demo/web:http (1)",
          "demo/web:http (2)",
          "10.60.2.3:8080  terminating  known         1",
        ]],
        ["policy get demo/web-7d5b9c7c4-x2x2", ["what no rule allows is denied", "303"]],
        ["ct list", ["10.60.1.3:5353 -> 10.60.2.2:53", "established    7998s     10/8"]],
        ["ipcache list", ["10.60.1.2            302  endpoint", "16777217  cidr"]],
        ["lb list", ["192.0.2.80:80/TCP  external,dsr-ipip", "internal 10.60.1.2:8080 (0) local"]],
        ["lb list --frontends", ["10800s         2         1      33"]],
        ["lb list --backends", ["10.60.1.2:8080   local    12  192.0.2.80:80/TCP, 10.96.0.7:80"]],
        ["lb list --source-ranges", ["198.51.100.0/24   7"]],
        ["lb list --maglev", ["33  7,8  16381    120      3  240  10.60.1.2:8080 50.0%"]],
        ["nat list", ["198.51.100.7:40000 -> 192.0.2.80:80  192.168.60.1:40000 -> 10.60"]],
        ["service trace 192.0.2.80:80 --from 198.51.100.7:40000", [
          "3:      Maglev table at row 33",
          "Result: 10.60.1.2:8080",
          "Then:   SNAT",
        ]],
        ["service trace 192.0.2.80:80 --from demo/web-7d5b9c7c4-x2x2", ["Result: 10.60.1.2:8080"]],
        ["prefilter list", ["203.0.113.0/24        2", "2 prefixes of /etc/pilus/denied; 17 pack"]],
        ["map list", ["pilus_ct       lru_hash   40     88   131  262144  0.1%"]],
        ["map dump ipcache", ["10.60.1.2      kind=1 identity=302"]],
        ["map get ipcache fd60:1:2:4::2", ["tunnel:   192.168.60.2\n"]],
        ["metrics", ["reason=Policy denied direction=ingress      7"]],
      ] as const
    ) {
      await t.step(`pilus ${line}`, async () => {
        const words = line.split(" ");
        const table = await pilus(socket, ...words);
        assertEquals([table.code, table.stderr], [0, ""]);
        for (const part of parts) assertStringIncludes(table.stdout, part);
        assertEquals(table.stdout.split("\n").filter((text) => text.length > WIDTH), []);
        const json = await pilus(socket, ...words, "-o", "json");
        assert(typeof JSON.parse(json.stdout) === "object");
      });
    }
    await t.step("YAML of the same rows", async () => {
      const { stdout } = await pilus(socket, "node", "list", "-o", "yaml");
      assertStringIncludes(stdout, "- name: node-a\n  local: true\n");
    });
    await t.step("ct list takes an address in any form", async () => {
      const { stdout } = await pilus(socket, "ct", "list", "--ip", "FD60:1:2:3:4444:5555:6666:03");
      assertEquals(stdout.trimEnd().split("\n").length, 4, stdout);
      assert(!stdout.includes("UDP"), stdout);
    });
    await t.step("ct flush wants --yes", async () => {
      assertEquals((await pilus(socket, "ct", "flush")).code, 2);
      assertEquals(
        (await pilus(socket, "ct", "flush", "--yes")).stdout,
        "2 connections forgotten\n",
      );
    });
    await t.step("metrics --prometheus", async () => {
      const { stdout } = await pilus(socket, "metrics", "--prometheus");
      assertStringIncludes(
        stdout,
        '# TYPE pilus_drop_count_total counter\npilus_drop_count_total{reason="Policy denied",',
      );
    });
    await t.step("monitor prints what the filters leave, and ends after --count", async () => {
      const { code, stdout } = await pilus(socket, "monitor", "--verdict", "forwarded", "-n", "1");
      assertEquals(code, 0);
      assertMatch(
        stdout,
        /^05:28:21\.001 ALLOW .*\n +rule +NetworkPolicy demo\/web ingress rule 1\n$/,
      );
    });
    await t.step(
      "monitor -o json prints a flow a line, and tells that the agent ended",
      async () => {
        const { code, stdout, stderr } = await pilus(socket, "monitor", "--drops", "-o", "json");
        assertEquals(stdout.trimEnd().split("\n").map((row) => JSON.parse(row).type), ["drop"]);
        assertEquals([code, stderr], [3, "pilus: The agent has ended\n"]);
      },
    );
    await t.step("trace-level", async () => {
      const { stdout } = await pilus(socket, "trace-level", "packets");
      assertEquals(stdout, "tracing: packets\n");
      const inForce = await pilus(socket, "trace-level");
      assertEquals([inForce.code, inForce.stdout], [0, "tracing: connections\n"]);
    });
  });
});

Deno.test("pilus status tells problems first, ends with 1, and waits for health", async () => {
  let asked = 0;
  const view = ROUTES["GET /v1/status"]!;
  const routes: ApiRoutes = {
    "GET /v1/status": (request) => ++asked > 3 ? view(request) : unwell,
  };
  await withAgent(routes, async (socket) => {
    const { code, stdout } = await pilus(socket, "status");
    assertEquals(code, 1);
    assertEquals(stdout.split("\n\n")[0]!.split("\n"), [
      "node-a: NOT OK",
      "  ! policies: 1 rows in error: Cannot update map pilus_rules: E2BIG",
      "  - /etc/pilus/manifests/web.yaml:12: spec.ports: expected a list",
      "  - Map pilus_rules is 99% full (16300 of 16384 rows): make it larger with --map-size",
      "  ! No free port to masquerade with: 1 packet, last at 05:28:20: widen --nat-port-range",
      "  ! demo/client-7d5b9c7c4-x2x3: it has as many masqueraded ports as are free, and gets no more: 1100",
      "    packets, last at 05:28:20: use --map-size pilus_nat",
      "  - Map pilus_maglev has no room for the tables of 12 frontends, whose backends are chosen at",
      "    random: make it larger with --map-size, or choose a smaller --maglev-size",
      "  - 3 events lost: monitor misses them",
    ]);
    const waited = await pilus(socket, "status", "--wait", "20");
    assertEquals([waited.code, waited.stdout.split("\n")[0]], [0, "node-a: ok"]);
    assertEquals(asked, 4);
  });
});

Deno.test("pilus version says which pilus, Deno and kernel", async () => {
  const { code, stdout } = await pilus("/nowhere", "version");
  assertEquals(code, 0);
  for (const part of [VERSION, Deno.version.deno, Deno.osRelease()]) {
    assertStringIncludes(stdout, part);
  }
  const json = JSON.parse((await pilus("/nowhere", "version", "-o", "json")).stdout);
  assertEquals([json.version, json.kernel], [VERSION, Deno.osRelease()]);
});

Deno.test("pilus monitor ends on SIGINT without an error", async () => {
  const listening = Promise.withResolvers<void>();
  const routes: ApiRoutes = {
    "GET /v1/monitor": async function* ({ signal }) {
      listening.resolve();
      yield* []; // nothing happens
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
  };
  await withAgent(routes, async (socket) => {
    await using child = command(socket, ["monitor"]).spawn();
    await listening.promise;
    child.kill("SIGINT");
    const { code, stderr } = await child.output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
  });
});

Deno.test("pilus ends with a code and a message by the kind of error", async (t) => {
  const routes: ApiRoutes = {
    "GET /v1/endpoints/{id}": ({ params }) => {
      throw new ApiError(404, { code: "not-found", message: `There is no endpoint ${params.id}` });
    },
    "GET /v1/identities": () => {
      throw new ApiError(500, { code: "internal", message: "out of luck", hint: "try again" });
    },
  };
  routes["GET /v1/nodes"] = () => {
    throw new ApiError(500, { code: "internal", message: "no \u001b]0;owned\u0007 here" });
  };
  await withAgent(routes, async (socket, directory) => {
    await t.step("0: help", async () => {
      for (const args of [["help"], ["--help"], ["help", "map"], ["map", "--help"], ["-h"]]) {
        const { code, stdout, stderr } = await pilus(socket, ...args);
        assertEquals([code, stderr], [0, ""], args.join(" "));
        assertStringIncludes(stdout, "Usage: pilus ");
      }
    });
    await t.step("1: the agent cannot, and its hint", async () => {
      const { code, stderr } = await pilus(socket, "identity", "list");
      assertEquals([code, stderr], [1, "pilus: out of luck\n  try again\n"]);
    });
    await t.step("1: a message from outside cannot control the terminal", async () => {
      const { code, stderr } = await pilus(socket, "node", "list");
      assertEquals([code, stderr], [1, "pilus: no \\x1b]0;owned\\x07 here\n"]);
      const argument = await pilus(socket, "\u001b[2J");
      assertStringIncludes(argument.stderr, "Unknown command `\\x1b[2J`");
    });
    await t.step("2: wrong usage", async () => {
      const { code, stderr } = await pilus(socket, "node", "lsit");
      assertEquals(code, 2);
      assertStringIncludes(stderr, "did you mean `node list`?");
      assertStringIncludes(
        (await pilus(socket, "ct", "list", "--port", "0")).stderr,
        "--port takes a number from 1 to 65535, not `0`\nSee `pilus ct list --help`.\n",
      );
    });
    await t.step("3: nobody there", async () => {
      const { code, stderr } = await pilus(`${directory}/none.sock`, "status");
      assertEquals(code, 3);
      assertMatch(stderr, /Cannot reach the agent at .*none\.sock: .*`pilus agent`/);
    });
    await t.step("4: not found", async () => {
      const { code, stderr } = await pilus(socket, "endpoint", "get", "demo/nobody");
      assertEquals([code, stderr], [4, "pilus: There is no endpoint demo/nobody\n"]);
    });
  });
});

Deno.test("pilus ends with 5 for one who may not open the agent's socket", async () => {
  await withAgent(ROUTES, async (socket) => {
    Deno.chmodSync(socket, 0); // which keeps out root, too, without these capabilities
    const { code, stderr } = await new Deno.Command("setpriv", {
      args: ["--bounding-set=-dac_override,-dac_read_search", Deno.execPath(), ...argv("status")],
      env: environment(socket),
    }).output();
    assertEquals(
      [code, new TextDecoder().decode(stderr)],
      [5, `pilus: Cannot reach the agent at ${socket}: permission denied: only root may\n`],
    );
  });
});
