import { assertEquals, assertStringIncludes } from "@std/assert";
import { formatCidr, parseCidr } from "../../../datapath/net/ip.ts";
import { problemTable } from "../../core/problem.ts";
import { type DeniedPrefix, deniedTable, parsePrefilter, PrefilterFile } from "./prefilter_file.ts";

const texts = (rows: readonly DeniedPrefix[]) =>
  rows.map(({ cidr, line }) => `${line} ${formatCidr(cidr)}`);

Deno.test("parsePrefilter() takes a prefix a line and leaves bad lines out", () => {
  const { prefixes, problems } = parsePrefilter(
    [
      "# spam",
      "203.0.113.7/24   # the net of .7",
      "",
      "2001:db8::1",
      "198.51.100.1",
      "203.0.113.0/24",
      "10.0.0.0/33",
      "example.org",
      "0.0.0.0/0",
      "::/0",
      "::/64",
    ].join("\n"),
  );
  assertEquals(texts(prefixes), [
    "2 203.0.113.0/24",
    "4 2001:db8::1/128",
    "5 198.51.100.1/32",
  ]);
  assertEquals(problems.map(({ line }) => line), [7, 8, 9, 10, 11]);
  assertStringIncludes(problems[1]!.message, '"example.org"');
  assertStringIncludes(problems[2]!.message, "shut everybody out");
});

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 100 && !what(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
}

Deno.test("PrefilterFile follows its file, and keeps what it had when that is gone", async () => {
  const directory = Deno.makeTempDirSync();
  const path = `${directory}/denied`;
  const output = deniedTable();
  const problems = problemTable("problems");
  const before = [{ cidr: parseCidr("192.0.2.0/24"), line: 0 }];
  {
    await using file = new PrefilterFile({ path, output, problems, before, rescanMs: 60_000 });
    file.start();
    assertEquals(texts(output.rows()), ["0 192.0.2.0/24"]);
    assertStringIncludes(problems.rows()[0]!.message, "what was in force stays");

    Deno.writeTextFileSync(path, "203.0.113.0/24\n");
    await until(() => problems.size === 0);
    assertEquals(texts(output.rows()), ["1 203.0.113.0/24"]);

    Deno.writeTextFileSync(`${path}.new`, "nonsense\n203.0.113.0/24\n10.0.0.0/8\n");
    Deno.renameSync(`${path}.new`, path);
    await until(() => problems.size === 1);
    assertEquals(texts(output.rows()), ["2 203.0.113.0/24", "3 10.0.0.0/8"]);
    assertEquals(problems.rows().map(({ source, line }) => [source, line]), [[path, 1]]);

    Deno.removeSync(path);
    await until(() => problems.rows()[0]?.message.includes("cannot be read") === true);
    assertEquals(texts(output.rows()), ["2 203.0.113.0/24", "3 10.0.0.0/8"]);
  }
  Deno.removeSync(directory, { recursive: true });
});
