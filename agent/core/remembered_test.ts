import { assertEquals } from "@std/assert";
import { remembered } from "./remembered.ts";

Deno.test("remembered() computes once for the same arguments", () => {
  let calls = 0;
  const sum = remembered((a: { n: number }, b: number | undefined) => {
    calls++;
    return a.n + (b ?? 0);
  });
  const one = { n: 1 }, two = { n: 2 };
  const cases: [{ n: number }, number | undefined, number, number][] = [
    [one, undefined, 1, 1],
    [one, undefined, 1, 1],
    [one, 5, 6, 2],
    [two, 5, 7, 3],
    [one, 5, 6, 3],
    [{ n: 1 }, 5, 6, 4],
    [one, undefined, 1, 5],
  ];
  for (const [a, b, result, called] of cases) assertEquals([sum(a, b), calls], [result, called]);
});
