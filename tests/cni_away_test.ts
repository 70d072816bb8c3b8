// The CNI plugin where the agent is away, silent or breaks off: what the runtime gets, and what is left
// for the agent. The same cases for the plugin that the agent installs and for the program itself.

import { assertEquals, assertMatch } from "@std/assert";
import { PLUGINS } from "./lab/cni_node.ts";
import { type CniAnswer, runPlugin } from "./lab/plugin_run.ts";

interface Call {
  env?: Record<string, string>;
  config?: unknown;
  /** Stdin does not end. */
  open?: boolean;
}

/** A state directory, and a socket on which somebody may listen. */
class Away implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "pilus-away-" });
  readonly socket = `${this.directory}/pilus.sock`;
  readonly stateDir = `${this.directory}/lib/state`;
  readonly queue = `${this.stateDir}/delete-queue`;
  readonly #plugin: readonly string[];

  constructor(plugin: readonly string[]) {
    this.#plugin = plugin;
  }

  config(more: Record<string, unknown> = {}): Record<string, unknown> {
    const { socket, stateDir } = this;
    return { cniVersion: "1.0.0", name: "pilus", type: "pilus", socket, stateDir, ...more };
  }

  call(
    command: string,
    { env = {}, config = this.config(), open = false }: Call,
  ): Promise<CniAnswer> {
    return runPlugin(this.#plugin, {
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: "c1",
        CNI_IFNAME: "eth0",
        CNI_NETNS: "/run/netns/none",
        ...env,
      },
      config,
      open,
    });
  }

  /** Somebody who takes one connection, and does that with it. */
  listen(serve: (connection: Deno.UnixConn) => Promise<void> | void): AsyncDisposable {
    const listener = Deno.listen({ transport: "unix", path: this.socket });
    const served = listener.accept().then(async (connection) => {
      await serve(connection);
      return connection;
    }, () => undefined);
    return {
      async [Symbol.asyncDispose]() {
        listener.close();
        try {
          (await served)?.close();
        } catch {
          // it has closed it
        }
      },
    };
  }

  /** Names and contents of what is queued. */
  queued(): Record<string, string> {
    try {
      return Object.fromEntries(
        [...Deno.readDirSync(this.queue)].map(({ name }) => [
          name,
          Deno.readTextFileSync(`${this.queue}/${name}`),
        ]),
      );
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        return {};
      }
      throw error;
    }
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** What is expected: the code and the message, or nothing at all with exit 0. */
type Expected = [code: number, message: RegExp] | [];

function assertAnswer({ code, json }: CniAnswer, [error, message]: Expected): void {
  if (error === undefined) {
    assertEquals([code, json], [0, undefined]);
    return;
  }
  assertEquals([code, json?.code], [1, error], JSON.stringify(json));
  assertEquals(typeof json.cniVersion, "string");
  assertMatch(json.msg, message!);
}

const NO_SOCKET =
  /^Cannot reach the agent at .*pilus\.sock: there is no such socket: is it running\? Start it with `pilus agent`; one that is starting says in its log what it waits for$/;
const DELETION = { "c1@eth0.json": '{"containerId":"c1","ifname":"eth0"}' };
const LONG = "x".repeat(200);

/** A name, the command, what is expected, the call, what is queued then, and what is done before. */
const CASES: [string, string, Expected, Call?, Record<string, string>?, ((away: Away) => void)?][] =
  [
    ["ADD", "ADD", [50, NO_SOCKET]],
    ["STATUS", "STATUS", [50, NO_SOCKET]],
    ["GC", "GC", [50, NO_SOCKET]],
    ["CHECK", "CHECK", [11, NO_SOCKET]],
    ["an unknown command", "DANCE", [4, /CNI_COMMAND is "DANCE": pilus knows ADD, DEL/]],
    ["no command", "", [4, /CNI_COMMAND/]],
    ["no JSON", "ADD", [6, /^Cannot decode the configuration on stdin: /], { config: "{" }],
    ["nothing on stdin", "DEL", [6, /^Cannot decode/], { config: "" }],
    ["a list", "DEL", [6, /not an object: \[1\]/], { config: "[1]" }],
    [
      "a file in place of the socket",
      "ADD",
      [50, /nothing listens/],
      {},
      {},
      ({ socket }) => Deno.writeTextFileSync(socket, ""),
    ],
    ["a socket's path that is too long", "ADD", [50, /Cannot reach the agent at /], {
      config: { cniVersion: "1.0.0", socket: `/${LONG}` },
    }],
    [
      "a relative socket",
      "ADD",
      [7, /socket must be an absolute path without "\.\.", and is "x"/],
      {
        config: { cniVersion: "1.0.0", socket: "x" },
      },
    ],
    ["a socket that is no text", "ADD", [7, /socket must be .* and is 7/], {
      config: { socket: 7 },
    }],

    ["DEL", "DEL", [], {}, DELETION],
    ["DEL of a long container and a strange device", "DEL", [], {
      env: { CNI_CONTAINERID: LONG, CNI_IFNAME: 'a"b\\c' },
    }, { [`${LONG}@a"b\\c.json`]: `{"containerId":"${LONG}","ifname":"a\\"b\\\\c"}` }],
    ["DEL of a version to come", "DEL", [], { config: { cniVersion: "9.9.9" } }, DELETION],
    ["DEL twice", "DEL", [], {}, DELETION, ({ queue }) => {
      Deno.mkdirSync(queue, { recursive: true });
      Deno.writeTextFileSync(`${queue}/c1@eth0.json`, "half of it");
    }],
    ["DEL without container", "DEL", [4, /CNI_CONTAINERID is missing/], {
      env: { CNI_CONTAINERID: "" },
    }],
    ["DEL of a path", "DEL", [4, /CNI_CONTAINERID is invalid: "\.\.\/x"/], {
      env: { CNI_CONTAINERID: "../x" },
    }],
    ["DEL of a container with a colon", "DEL", [4, /invalid/], { env: { CNI_CONTAINERID: "a@b" } }],
    ["DEL of a dot file", "DEL", [4, /is invalid/], { env: { CNI_CONTAINERID: ".x" } }],
    ["DEL of a container that is too long", "DEL", [4, /is invalid/], {
      env: { CNI_CONTAINERID: LONG + "x" },
    }],
    ["DEL without device", "DEL", [4, /CNI_IFNAME is missing/], { env: { CNI_IFNAME: "" } }],
    ...["a/b", "..", ".", "a b", "a:b", "x".repeat(16), "ö".repeat(8)].map((
      name,
    ): typeof CASES[number] => [`DEL of the device ${name}`, "DEL", [4, /CNI_IFNAME is invalid/], {
      env: { CNI_IFNAME: name },
    }]),
    ["DEL with a relative state directory", "DEL", [7, /stateDir must be an absolute path/], {
      config: { stateDir: "state" },
    }],
    ["DEL with steps up", "DEL", [7, /stateDir must be .*, and is "\/var\/\.\.\/etc"/], {
      config: { stateDir: "/var/../etc" },
    }],
    ["DEL with steps up that are escaped", "DEL", [7, /stateDir must be/], {
      config: '{"state\\u0044ir":"/var/\\u002e./etc"}',
    }],
    ["DEL with a NUL in the path", "DEL", [7, /stateDir must be/], {
      config: '{"stateDir":"/tmp\\u0000"}',
    }],
    [
      "DEL where a file is the state directory",
      "DEL",
      [5, /^Cannot queue the deletion in .*state: /],
      {},
      {},
      ({ directory, stateDir }) => {
        Deno.mkdirSync(`${directory}/lib`);
        Deno.writeTextFileSync(stateDir, "");
      },
    ],
    ["DEL where the queue is a link", "DEL", [5, /^Cannot queue the deletion/], {}, {}, (
      { directory, stateDir, queue },
    ) => {
      Deno.mkdirSync(`${directory}/elsewhere`);
      Deno.mkdirSync(stateDir, { recursive: true });
      Deno.symlinkSync(`${directory}/elsewhere`, queue);
    }],
    ["DEL where its file is a link", "DEL", [], {}, DELETION, ({ directory, queue }) => {
      Deno.mkdirSync(queue, { recursive: true });
      Deno.symlinkSync(`${directory}/victim`, `${queue}/c1@eth0.json`);
    }],
  ];

/** What somebody on the socket says to a request, and what the runtime gets of it. */
const SAYS: [string, string, string, Expected, Record<string, string>?][] = [
  ["nothing", "ADD", "", [50, /^The agent at .* did not answer/]],
  ["nothing", "DEL", "", [], DELETION],
  ["half a head", "DEL", "HTTP/1.1 200 OK\r\ncont", [], DELETION],
  ["half a body", "DEL", "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{", [], DELETION],
  ["half a body", "CHECK", "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{", [
    11,
    /did not answer/,
  ]],
  ["no HTTP", "ADD", "SSH-2.0\r\n\r\n", [50, /its answer is not HTTP/]],
  ["a refusal", "ADD", http(503, '{"code":"busy","message":"much to do"}'), [100, /^much to do$/]],
  ["a refusal", "DEL", http(503, '{"code":"busy","message":"much to do"}'), [100, /^much to do$/]],
  ["a refusal that is no JSON", "ADD", http(500, "oh no"), [100, /answered 500: oh no/]],
  ["an error", "DEL", http(200, '{"error":{"cniVersion":"1.0.0","code":7,"msg":"ä\\n"}}'), [
    7,
    /^ä\n$/,
  ]],
  ["success", "DEL", http(200, "{}"), []],
];

function http(status: number, body: string): string {
  const { length } = new TextEncoder().encode(body);
  return `HTTP/1.1 ${status} X\r\ncontent-length: ${length}\r\nconnection: close\r\n\r\n${body}`;
}

/** Reads a request, whole: closing before would reset the connection. */
async function readRequest(connection: Deno.UnixConn): Promise<void> {
  let text = "";
  const chunk = new Uint8Array(4096);
  while (!text.endsWith("}")) {
    const length = await connection.read(chunk);
    if (length === null) return;
    text += new TextDecoder().decode(chunk.subarray(0, length));
  }
}

for (const [program, plugin] of Object.entries(PLUGINS)) {
  Deno.test(`${program} without an agent`, async (t) => {
    for (const [name, command, expected, call = {}, queued = {}, before] of CASES) {
      await t.step(name, async () => {
        using away = new Away(plugin);
        before?.(away);
        const { config } = call;
        const complete = typeof config === "object" ? away.config({ ...config }) : config;
        assertAnswer(
          await away.call(command, {
            ...call,
            ...(complete === undefined ? {} : { config: complete }),
          }),
          expected,
        );
        assertEquals(away.queued(), queued);
        const victims = [...Deno.readDirSync(away.directory)].map(({ name }) => name);
        assertEquals(victims.includes("victim"), false);
        if (victims.includes("elsewhere")) {
          assertEquals([...Deno.readDirSync(`${away.directory}/elsewhere`)], []);
        }
      });
    }
  });

  Deno.test(`${program} and an agent that breaks off, refuses or is none`, async (t) => {
    for (const [name, command, says, expected, queued = {}] of SAYS) {
      await t.step(`${command}: ${name}`, async () => {
        using away = new Away(plugin);
        await using _ = away.listen(async (connection) => {
          await readRequest(connection);
          await connection.write(new TextEncoder().encode(says));
          connection.close();
        });
        assertAnswer(await away.call(command, {}), expected);
        assertEquals(away.queued(), queued);
      });
    }
  });

  Deno.test(`${program} waits neither for a silent agent nor for stdin for ever`, async () => {
    using silent = new Away(plugin), endless = new Away(plugin);
    await using _ = silent.listen(() => {});
    const answers = await Promise.all([
      silent.call("STATUS", {}),
      endless.call("STATUS", { open: true }),
      endless.call("VERSION", { open: true }),
    ]);
    for (const answer of answers) assertAnswer(answer, [11, /came in time$/]);
  });

  Deno.test(`${program} says the versions by itself`, async (t) => {
    using away = new Away(plugin);
    const supportedVersions = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
    for (const version of ["0.3.1", "1.1.0", "9.9.9", undefined, 7]) {
      await t.step(String(version), async () => {
        const { code, json } = await away.call("VERSION", { config: { cniVersion: version } });
        const cniVersion = supportedVersions.includes(String(version)) ? version : "1.1.0";
        assertEquals([code, json], [0, { cniVersion, supportedVersions }]);
      });
    }
  });
}

Deno.test("the installed plugin takes as JSON what JSON is", async (t) => {
  const values = [
    ...["1", "-0", "0.5", "1e9", "1E+9", "1e-9", "true", "false", "null", '""', "[]", "{}"],
    ...['"\\u00e4\\ud83d\\ude00\\"\\\\\\/\\b\\f\\n\\r\\t"', "[1,[2],{}]", '{"a":{"b":[]}}', " 1 "],
    ...["01", "+1", ".5", "1.", "1e", "0x1", "--1", "NaN", "tru", "nul", "'a'", '"', '"\\"'],
    ...['"\\x"', '"\\u12"', '"\\u12g4"', '"\n"', '"\t"', "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]"],
    ...["{", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', "{a:1}", '{"a" 1}', '{"a":1 "b":2}'],
    ...["]", "}", "", "1 1", "1,", "/* */1", "\u00a01", "\v1", "[[[[[[[[1]]]]]]]]"],
  ];
  const texts = [
    ...values.map((value) => `{"x":${value},"cniVersion":"1.0.0"}`),
    ...["\ufeff{}", "{} x", "{}{}", "\n\t {} \r\n", "\0{}", "{}\0", "", " "],
    ...['{"cniVersion":"0.4.0","cniVersion":"1.0.0"}', '{"cni\\u0056ersion":"1.0.\\u0030"}'],
    ...['{"x":{"cniVersion":"0.4.0"}}', '{"x":"\\"cniVersion\\":\\"0.4.0\\""}'],
  ];
  using away = new Away(PLUGINS["the installed plugin"]!);
  for (const text of texts) {
    await t.step(JSON.stringify(text), async () => {
      let version: string | undefined;
      try {
        version = JSON.parse(text.replace(/^\ufeff/, "")).cniVersion ?? "1.1.0";
      } catch {
        // none
      }
      const { json } = await away.call("VERSION", { config: text });
      assertEquals(json.code, version === undefined ? 6 : undefined);
      if (version !== undefined) assertEquals(json.cniVersion, version);
    });
  }
});
