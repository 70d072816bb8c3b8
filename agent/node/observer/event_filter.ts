/** Filters on the bytes of events: what does not pass is never decoded. */

import { eventHeaderOffsets, eventOffsets, EventType } from "../../../datapath/maps/generated.ts";
import { parseIp } from "../../../datapath/net/ip.ts";
import { hasPorts } from "../../core/protocols.ts";
import { Verdict } from "../../flows/flow.ts";
import { type EndFilter, type FlowFilter, NOT_IP, type PodOf } from "../../flows/flow_filter.ts";
import type { AddressTexts } from "./address_texts.ts";

/** A test of the event at `offset`. */
type EventTest = (view: DataView, offset: number) => boolean;

const at = eventOffsets, header = eventHeaderOffsets;

/** Where the fields of an end are. */
interface EndOffsets {
  address: number;
  identity: number;
  port: number;
}

const SOURCE = { address: at.source, identity: at.sourceIdentity, port: at.sourcePort };
const DESTINATION = {
  address: at.destination,
  identity: at.destinationIdentity,
  port: at.destinationPort,
};

/** Passes an event exactly when `flowFilter` passes its flow. Pods are looked up last. */
export function eventFilter(filter: FlowFilter, addresses: AddressTexts, podOf: PodOf): EventTest {
  const { types, verdicts, protocols, either, from, to } = filter;
  const tests: EventTest[] = [];
  if (types) tests.push((view, offset) => types.includes(view.getUint8(offset + header.type)));
  if (verdicts) {
    tests.push((view, offset) =>
      verdicts.includes(
        view.getUint8(offset + header.type) === EventType.DROP
          ? Verdict.DROPPED
          : Verdict.FORWARDED,
      )
    );
  }
  if (protocols) {
    tests.push((view, offset) =>
      protocols.includes(
        view.getUint8(offset + at.family) === 0 ? NOT_IP : view.getUint8(offset + at.protocol),
      )
    );
  }
  for (const field of [portTest, identityTest, addressTest, podTest(addresses, podOf)]) {
    const source = either && field(either, SOURCE);
    const destination = either && field(either, DESTINATION);
    if (source && destination) {
      tests.push((view, offset) => source(view, offset) || destination(view, offset));
    }
    tests.push(
      ...[from && field(from, SOURCE), to && field(to, DESTINATION)].filter((test) =>
        test !== undefined
      ),
    );
  }
  return (view, offset) => {
    for (const test of tests) if (!test(view, offset)) return false;
    return true;
  };
}

function portTest({ ports }: EndFilter, { port }: EndOffsets): EventTest | undefined {
  return ports && ((view, offset) =>
    ports.includes(view.getUint16(offset + port)) &&
    hasPorts(view.getUint8(offset + at.protocol)));
}

function identityTest({ identities }: EndFilter, end: EndOffsets): EventTest | undefined {
  return identities &&
    ((view, offset) => identities.includes(view.getUint32(offset + end.identity, true)));
}

function addressTest({ ips }: EndFilter, { address }: EndOffsets): EventTest | undefined {
  const wanted = ips?.map((ip) => {
    const { buffer, byteOffset } = parseIp(ip);
    const view = new DataView(buffer, byteOffset);
    return [0, 4, 8, 12].map((word) => view.getInt32(word));
  });
  return wanted && ((view, offset) => {
    const first = offset + address;
    return wanted.some(([a, b, c, d]) =>
      view.getInt32(first + 12) === d && view.getInt32(first + 8) === c &&
      view.getInt32(first + 4) === b && view.getInt32(first) === a
    );
  });
}

function podTest(addresses: AddressTexts, podOf: PodOf) {
  return ({ pods }: EndFilter, { address }: EndOffsets): EventTest | undefined =>
    pods && ((view, offset) => {
      const pod = podOf(addresses.text(view, offset + address));
      return pod !== undefined && pods.includes(pod);
    });
}
