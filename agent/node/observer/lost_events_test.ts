import { assertEquals } from "@std/assert";
import { EventType } from "../../../datapath/maps/generated.ts";
import { EventSource } from "../../../datapath/testdata/event_source.ts";
import { AgentEvent } from "../../flows/flow.ts";
import { LostEvents } from "./lost_events.ts";

const { DROP, TRACE } = EventType;

Deno.test("LostEvents.look() reports what was lost since the last look, by type", () => {
  using source = new EventSource();
  source.send(200_000, TRACE); // more than the buffer holds, and none is drained
  const reports: [number, string][] = [];
  const lost = new LostEvents(source.lost, (event, text) => reports.push([event, text]));
  lost.look();
  assertEquals(reports, []);
  const before = lost.total;
  source.send(7, TRACE);
  lost.look();
  lost.look();
  assertEquals(reports.map(([event]) => event), [AgentEvent.EVENTS_LOST]);
  assertEquals(reports[0]![1].split(" found")[0], "7 of type trace");
  assertEquals(lost.total - before, 7);
  source.send(200_000, DROP); // drops may use all of it
  lost.look();
  const drops = lost.rows().find(({ type }) => type === DROP)!.count;
  assertEquals(reports[1]![1].split(" found")[0], `${drops} of type drop`);
  assertEquals(reports.length, 2);
});
