import { assertEquals, assertRejects } from "@std/assert";
import { parseIp } from "../../../datapath/net/ip.ts";
import { ApiError } from "../../api/server.ts";
import { connectionFilter } from "./connection_filter.ts";
import { listing } from "./listing.ts";

const ENDS = [
  { ip: parseIp("10.60.1.2"), port: 40000 },
  { ip: parseIp("fd60::1"), port: 53 },
];

for (
  const [query, passes] of [
    ["", true],
    ["protocol=udp", true],
    ["protocol=tcp", false],
    ["ip=FD60:0::1", true],
    ["ip=10.60.1.3", false],
    ["ip=10.60.1.3,10.60.1.2", true],
    ["port=53&ip=10.60.1.2", true],
    ["port=54", false],
  ] as const
) {
  Deno.test(`connectionFilter() of "${query}" ${passes ? "passes" : "stops"} the row`, async () => {
    const { rows, total } = await listing(new URLSearchParams(query), (filter) => [
      connectionFilter(filter)(17, ENDS) ? () => "row" : undefined,
    ]);
    assertEquals([rows, total], passes ? [["row"], 1] : [[], 0]);
  });
}

Deno.test("listing() gives as many rows as the limit, and counts all that pass", async () => {
  let made = 0;
  const rows = () =>
    Array.from({ length: 10_000 }, (_, i) => i % 2 ? undefined : () => (made++, i));
  assertEquals(await listing(new URLSearchParams("limit=3"), rows), {
    rows: [0, 2, 4],
    total: 5000,
  });
  assertEquals(made, 3);
});

Deno.test("listing() answers a wrong number with 400", async () => {
  for (const query of ["limit=-5", "limit=abc", "port=99999"]) {
    const error = await assertRejects(
      () => listing(new URLSearchParams(query), () => []),
      ApiError,
    );
    assertEquals(error.status, 400);
  }
});
