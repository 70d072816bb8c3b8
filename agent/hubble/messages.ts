/** Messages of Hubble's API as bytes. The definitions are read when the first one is needed. */

import protobuf from "protobufjs";
import type { EndpointMessage, GetFlowsResponse } from "./flow_message.ts";
import { EVENTS } from "./proto/events.ts";
import { FLOW } from "./proto/flow.ts";
import { HEALTH } from "./proto/health.ts";
import { OBSERVER } from "./proto/observer.ts";
import { PEER } from "./proto/peer.ts";
import { REASONS } from "./proto/reasons.ts";
import { RELAY } from "./proto/relay.ts";

const DEFINITIONS = [FLOW, REASONS, EVENTS, OBSERVER, PEER, RELAY, HEALTH];

/** Google's own that those name. */
const WELL_KNOWN = ["any", "timestamp", "wrappers", "field_mask"];

/** Definitions in which the ends of flows are bytes: those of an end are made once. */
const WITH_ENDS_AS_BYTES = FLOW.replace(
  "Endpoint source = 8; Endpoint destination = 9;",
  "bytes source = 8; bytes destination = 9;",
);

let root: protobuf.Root | undefined;
let fastAnswer: protobuf.Type | undefined;

function readDefinitions(definitions: readonly string[]): protobuf.Root {
  const root = new protobuf.Root();
  for (const name of WELL_KNOWN) {
    root.addJSON(protobuf.common.get(`google/protobuf/${name}.proto`)!.nested!);
  }
  for (const text of definitions) protobuf.parse(text, root, { keepCase: true });
  root.resolveAll();
  return root;
}

/** The definition of a message, as `flow.Flow`. */
export function messageType(name: string): protobuf.Type {
  return (root ??= readDefinitions(DEFINITIONS)).lookupType(name);
}

/** The bytes of a message. */
export function encode(name: string, message: object): Uint8Array {
  return messageType(name).encode(message).finish();
}

/**
 * A message out of its bytes: fields that are not there are missing, enumerations are numbers, and
 * so are integers of 64 bits, as near as those come. Throws RangeError and Error for what is none.
 */
export function decode<T>(name: string, bytes: Uint8Array): T {
  const type = messageType(name);
  return type.toObject(type.decode(bytes), { longs: Number }) as T;
}

const endBytes = new WeakMap<EndpointMessage, Uint8Array>();

function endOf(end: EndpointMessage | undefined): Uint8Array | undefined {
  if (!end) return undefined;
  let bytes = endBytes.get(end);
  if (!bytes) endBytes.set(end, bytes = encode("flow.Endpoint", end));
  return bytes;
}

/** The bytes of an answer with a flow, whose ends are not changed afterwards. */
export function encodeFlow({ flow, ...rest }: GetFlowsResponse): Uint8Array {
  const message = flow &&
    { ...flow, source: endOf(flow.source), destination: endOf(flow.destination) };
  fastAnswer ??= readDefinitions([WITH_ENDS_AS_BYTES, ...DEFINITIONS.slice(1)])
    .lookupType("observer.GetFlowsResponse");
  return fastAnswer.encode({ ...rest, ...(message ? { flow: message } : {}) }).finish();
}
