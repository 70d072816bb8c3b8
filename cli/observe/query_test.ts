import { assertEquals, assertThrows } from "@std/assert";
import { OBSERVE_COMMAND } from "../commands/observe.ts";
import { UsageError } from "../command.ts";
import { parseInvocation } from "../parse.ts";
import { serverAddress } from "./hubble_client.ts";
import { FILTER_OPTIONS, observeRequest } from "./query.ts";

const NOW = Date.parse("2026-01-31T12:00:00Z");

function request(line: string) {
  return observeRequest(
    parseInvocation(OBSERVE_COMMAND, line.split(" ").filter(Boolean)).options,
    NOW,
  );
}

for (
  const [line, wanted] of [
    ["", { number: 20 }],
    ["--last 5", { number: 5 }],
    ["--first 5", { number: 5, first: true }],
    ["--all", {}],
    ["-f", { follow: true }],
    ["-f --last 3", { follow: true, number: 3 }],
    ["--since 1h30m", { since: { seconds: NOW / 1000 - 5400, nanos: 0 } }],
    ["--since 2026-01-31T11:59:59.123456789Z", {
      since: { seconds: NOW / 1000 - 1, nanos: 123_456_789 },
    }],
    ["--since 90s --until 2026-01-31T11:59:59Z --last 2", {
      number: 2,
      since: { seconds: NOW / 1000 - 90, nanos: 0 },
      until: { seconds: NOW / 1000 - 1, nanos: 0 },
    }],
    ["--all --verdict DROPPED,forwarded", { whitelist: [{ verdict: [2, 1] }] }],
    ["--all --drop-reason-desc policy-denied", { whitelist: [{ drop_reason_desc: [133] }] }],
    ["--all -t drop -t trace:to-endpoint", {
      whitelist: [{ event_type: [{ type: 1 }, { type: 4, match_sub_type: true, sub_type: 0 }] }],
    }],
    ["--all --from-pod demo/web --to-port 80,443", {
      whitelist: [{ source_pod: ["demo/web"], destination_port: ["80", "443"] }],
    }],
    ["--all --pod demo/web --protocol tcp", {
      whitelist: [
        { protocol: ["tcp"], source_pod: ["demo/web"] },
        { protocol: ["tcp"], destination_pod: ["demo/web"] },
      ],
    }],
    ["--all -n demo --to-ip 10.0.0.0/8", {
      whitelist: [
        { destination_ip: ["10.0.0.0/8"], source_pod: ["demo/"] },
        { destination_ip: ["10.0.0.0/8"], destination_pod: ["demo/"] },
      ],
    }],
    ["--all --from-identity world,1001", { whitelist: [{ source_identity: [2, 1001] }] }],
    ["--all --to-workload Deployment/web", {
      whitelist: [{ destination_workload: [{ kind: "Deployment", name: "web" }] }],
    }],
    ["--all --tcp-flags syn+ack,rst", {
      whitelist: [{ tcp_flags: [{ SYN: true, ACK: true }, { RST: true }] }],
    }],
    ["--all --ip-version v6 --interface eth0 --http-header a:b", {
      whitelist: [
        { ip_version: [2], interface: [{ name: "eth0" }], http_header: [{ key: "a", value: "b" }] },
      ],
    }],
    [
      '--all --allowlist {"verdict":["DROPPED"]} --denylist [{"source_port":["1"]},{"reply":[true]}]',
      {
        whitelist: [{ verdict: [2] }],
        blacklist: [{ source_port: ["1"] }, { reply: [true] }],
      },
    ],
  ] as const
) {
  Deno.test(`observeRequest() of \`${line}\``, () => {
    assertEquals(request(line), wanted as unknown as ReturnType<typeof request>);
  });
}

for (
  const [line, message] of [
    ["--first 1 --last 1", "--first and --last exclude each other"],
    ["--first 1 --follow", "--first and --follow exclude each other"],
    ["--since yesterday", "--since takes how long ago"],
    ["--verdict DROPED", "not `DROPED`"],
    ["--drop-reason-desc POLICY_DENIE", "did you mean"],
    ["--type tarce", "--type takes drop, capture"],
    ["--type trace:to-endpont", "has no `to-endpont`"],
    ["--type drop:to-endpoint", "--type drop has no `to-endpoint`"],
    ["--tcp-flags SNY", "--tcp-flags takes FIN"],
    ["--from-identity web", "--from-identity takes a number or a reserved name"],
    ["--ip-version 4", "--ip-version takes none, v4 or v6"],
    ["--pod a/b --from-pod a/c", "--pod and its --from- or --to- exclude each other"],
    ["--http-header a", "--http-header takes KEY:VALUE"],
    ["--allowlist {", "--allowlist takes a filter in JSON"],
    ['--denylist {"verdit":[]}', "a filter has no field verdit"],
    ["--server host", "--server takes unix:///PATH, HOST:PORT or tls://HOST:PORT"],
  ] as const
) {
  Deno.test(`observe refuses \`${line}\``, () => {
    assertThrows(
      () => {
        const { options } = parseInvocation(OBSERVE_COMMAND, line.split(" "));
        observeRequest(options, NOW);
        serverAddress(options);
      },
      UsageError,
      message,
    );
  });
}

Deno.test("serverAddress() takes what the hubble CLI takes, and by default the socket beside the agent's", () => {
  for (
    const [options, wanted] of [
      [{ socket: "/x/pilus.sock" }, { path: "/x/hubble.sock" }],
      [{ server: "unix:///run/h.sock" }, { path: "/run/h.sock" }],
      [{ server: "/run/h.sock" }, { path: "/run/h.sock" }],
      [{ server: "localhost:4245" }, { hostname: "localhost", port: 4245, tls: false }],
      [{ server: "localhost:4245", tls: true }, { hostname: "localhost", port: 4245, tls: true }],
      [{ server: "tls://[fd00::1]:4244" }, { hostname: "fd00::1", port: 4244, tls: true }],
    ] as const
  ) assertEquals(serverAddress(options), wanted);
});

Deno.test("each filter of a request is an option of the command", () => {
  const names = OBSERVE_COMMAND.options!.map(({ name }) => name);
  assertEquals(FILTER_OPTIONS.filter((name) => !names.includes(name)), []);
});
