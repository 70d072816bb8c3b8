/**
 * CiliumEndpointSlice: endpoints of a namespace, some in each object, which nodes write for each other.
 * The fields are those of Cilium 1.18, and with them labels, service account and the endpoint's number.
 */

import { ip, labelName, labels, port, portProtocol, resource } from "./resource_schema.ts";
import { type Infer, integer, list, object, text } from "./schema.ts";

const sliceEndpoint = object({
  name: text(),
  /** The identity's number. */
  id: integer(1, 0xffff_ffff),
  networking: object({
    addressing: list(object({ ipv4: ip, ipv6: ip }, { open: true })),
    node: ip,
  }, { required: ["addressing", "node"], open: true }),
  "named-ports": list(object({ name: text(), port, protocol: portProtocol }, {
    required: ["name", "port", "protocol"],
  })),
  "endpoint-id": integer(0, 0xffff_ffff),
  "service-account": text(),
  labels,
}, { required: ["name", "id", "networking"], open: true });

export const ciliumEndpointSliceSchema = resource(
  {
    namespace: labelName,
    endpoints: list(sliceEndpoint),
  },
  ["namespace", "endpoints"],
  { namespaced: false },
);

/** An object of the kind. */
export type CiliumEndpointSlice = Infer<typeof ciliumEndpointSliceSchema>;

/** One endpoint of it. */
export type SliceEntry = CiliumEndpointSlice["endpoints"][number];
