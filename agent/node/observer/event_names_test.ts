import { assertEquals } from "@std/assert";
import {
  ConnectionStatus,
  DropReason,
  EventType,
  ObservationPoint,
  PolicyDirection,
} from "../../../datapath/maps/generated.ts";
import { FlowType, PACKET_TYPES } from "../../flows/flow.ts";
import {
  DIRECTION_NAMES,
  DROP_REASONS,
  POINT_NAMES,
  STATUS_NAMES,
  TYPE_NAMES,
} from "../../flows/names.ts";

/** As words the names of an enumeration's values. */
function words(constants: Record<string, number>): [number, string][] {
  return Object.entries(constants)
    .map(([name, value]): [number, string] => [value, name.toLowerCase().replaceAll("_", "-")])
    .sort(([a], [b]) => a - b);
}

function sorted<T>(names: Iterable<readonly [number, T]>): [number, T][] {
  return [...names].map(([a, b]): [number, T] => [a, b]).sort(([a], [b]) => a - b);
}

Deno.test("the names of flows are those of the programs' enumerations", () => {
  assertEquals(sorted(POINT_NAMES), words(ObservationPoint));
  assertEquals(sorted(STATUS_NAMES), words(ConnectionStatus));
  assertEquals([...DIRECTION_NAMES.entries()], words(PolicyDirection));
  assertEquals([...PACKET_TYPES].sort(), Object.values(EventType).sort());
  for (const [value, name] of words(EventType)) assertEquals(TYPE_NAMES.get(value), name);
  assertEquals(TYPE_NAMES.get(FlowType.AGENT), "agent");
});

Deno.test("every drop reason of the programs has words, and no other", () => {
  const { FORWARDED: _, MAX: __, ...reasons } = DropReason;
  assertEquals([...DROP_REASONS.keys()].sort(), Object.values(reasons).sort());
});
