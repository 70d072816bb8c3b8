import { assertEquals } from "@std/assert";
import { parseQuantity } from "./quantity.ts";

Deno.test("parseQuantity() reads quantities as the API server does", () => {
  const cases: [string, number | undefined][] = [
    ["10M", 10_000_000],
    ["1k", 1000],
    ["1.5G", 1_500_000_000],
    ["1Ki", 1024],
    ["2Mi", 2 ** 21],
    ["1e6", 1_000_000],
    ["1E3", 1000],
    ["1E", 1e18],
    [".5k", 500],
    ["5.", 5],
    ["100m", 1],
    ["-1", -1],
    ...["", "M", "1K", "1 M", "10Mbit", "1ki", "0x10", "1e", "1.2.3", "1_000", "ten"]
      .map((text): [string, undefined] => [text, undefined]),
  ];
  for (const [text, value] of cases) assertEquals(parseQuantity(text), value, text);
});
