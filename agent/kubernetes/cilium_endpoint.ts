/** CiliumEndpoint and CiliumIdentity, which nodes write for each other, with the fields of Cilium 1.18. */

import { ip, port, portProtocol, resource } from "./resource_schema.ts";
import { type Infer, integer, list, object, record, refine, text } from "./schema.ts";

const identityNumber = integer(1, 0xffff_ffff);
export const ciliumEndpointSchema = resource({
  status: object({
    id: integer(0, 0xffff_ffff),
    identity: object({ id: identityNumber, labels: list(text()) }, { required: ["id"] }),
    networking: object({
      addressing: list(object({ ipv4: ip, ipv6: ip })),
      node: ip,
    }, { required: ["addressing", "node"] }),
    state: text(),
    "named-ports": list(object({ name: text(), port, protocol: portProtocol }, {
      required: ["name", "port", "protocol"],
    })),
    "service-account": text(),
  }, { required: ["id", "identity", "networking"], open: true }),
}, ["status"]);

export const ciliumIdentitySchema = refine(
  resource({ "security-labels": record(text(), text()) }, ["security-labels"]),
  ({ metadata }) =>
    /^[1-9][0-9]{0,9}$/.test(metadata.name)
      ? undefined
      : `is named ${metadata.name}, and must be named by its number`,
);

/** A pod's addresses and identity; named as the pod. As it is written: optional fields may be null. */
export type CiliumEndpoint = Infer<typeof ciliumEndpointSchema>;

/** A number for a set of labels; the number is the name. */
export type CiliumIdentity = Infer<typeof ciliumIdentitySchema>;
