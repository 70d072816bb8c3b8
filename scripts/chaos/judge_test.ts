import { assertEquals } from "@std/assert";
import {
  type Cut,
  type Fault,
  judgeCuts,
  judgePassed,
  judgeSilence,
  type Passed,
  type Report,
} from "./judge.ts";

const fault = (rest: Partial<Fault> = {}): Fault => ({
  kind: "links detached",
  node: "a",
  from: 10_000,
  made: 10_010,
  opens: true,
  cuts: [],
  ...rest,
});
const report = (from: number, to: number, rest: Partial<Report> = {}): Report => ({
  node: "a",
  kind: "put right",
  from,
  to,
  text: "",
  ...rest,
});
const frame = (at: number): Passed => ({ at, from: "guest", to: "web", what: "UDP", bytes: 50 });
const wrong = (passed: Passed[], faults: Fault[], reports: Report[]) =>
  judgePassed(passed, faults, reports).violations
    .map((text) => text.replace(/^.* frames arrived /, "").replace(/:.*$/, ""));

Deno.test("judgePassed() allows bytes within a window that status reported, soon after a fault", () => {
  const reports = [report(9_500, 10_900)];
  assertEquals(wrong([frame(10_005), frame(10_800)], [fault()], reports), []);
  const unreported = "and status did not report it";
  assertEquals(wrong([frame(10_005)], [fault()], []), [unreported]);
  assertEquals(wrong([frame(11_500)], [fault()], reports), [unreported]);
  assertEquals(wrong([frame(10_005)], [fault({ node: "b" })], reports), [unreported]);
  assertEquals(wrong([frame(10_005)], [fault({ opens: false })], reports), ["without a fault"]);
});

Deno.test("judgePassed() allows nothing before a fault, and nothing 2 s after it, whatever status reported", () => {
  const reports = [report(0, 60_000)];
  for (const at of [9_000, 12_100]) {
    assertEquals(wrong([frame(at)], [fault()], reports), ["without a fault"]);
  }
  assertEquals(wrong([frame(12_000)], [fault()], reports), []);
});

Deno.test("judgePassed() counts from the agent's return where it was away at the fault", () => {
  const away = report(9_900, 14_000, { kind: "away" });
  assertEquals(wrong([frame(13_900)], [fault()], [away]), []);
  assertEquals(wrong([frame(14_300)], [fault()], [away]), ["without a fault"]);
  // another node's, or much later
  assertEquals(wrong([frame(13_900)], [fault()], [{ ...away, node: "b" }]), ["without a fault"]);
  const later = report(13_000, 14_000, { kind: "away" });
  assertEquals(wrong([frame(13_500)], [fault()], [later]), ["without a fault"]);
});

Deno.test("judgePassed() makes windows of bytes that are close to each other", () => {
  const passed = [frame(10_900), frame(10_100), frame(11_950), frame(10_500)];
  const { openings } = judgePassed(passed, [fault()], [report(9_500, 12_000)]);
  assertEquals(
    openings.map(({ from, to, frames, bytes, faults }) => [from, to, frames, bytes, faults]),
    [
      [10_100, 10_900, 3, 150, ["links detached on a"]],
      [11_950, 11_950, 1, 50, ["links detached on a"]],
    ],
  );
});

Deno.test("judgeCuts() allows the end of a connection after a fault of its client or server alone", () => {
  const cut = (at: number): Cut => ({ at, client: "10.0.0.1", server: "10.0.0.2", why: "reset" });
  const veth = (address: string) => fault({ cuts: [address] });
  for (const address of ["10.0.0.1", "10.0.0.2"]) {
    assertEquals(judgeCuts([cut(12_000)], [veth(address)]), []);
  }
  assertEquals(judgeCuts([cut(9_000)], [veth("10.0.0.1")]).length, 1);
  assertEquals(judgeCuts([cut(12_000)], [veth("10.0.0.3"), fault()]).length, 1);
});

Deno.test("judgeSilence() finds agents that run and do not answer", () => {
  const silent = report(10_000, 13_000, { kind: "away" });
  assertEquals(judgeSilence([silent], [fault()]), [silent]);
  assertEquals(judgeSilence([silent], [fault({ kind: "agent killed", made: 12_000 })]), []);
  assertEquals(judgeSilence([{ ...silent, to: 10_900 }], []), []);
  assertEquals(judgeSilence([{ ...silent, kind: "not ok" }], []), []);
});
