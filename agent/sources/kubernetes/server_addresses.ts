/** Where API servers say that they are: what is left of the way to them where services need pilus. */

import type { Table } from "../../core/table.ts";
import type { EndpointSlice } from "../../kubernetes/resources.ts";
import { unpackEndpoints } from "../../kubernetes/slice_endpoints.ts";

const SERVICE = "kubernetes";

/** URLs of the endpoints of the Service default/kubernetes. */
export function serverAddresses(slices: Table<EndpointSlice>): string[] {
  // servers write one slice of that name for each family
  const own = [SERVICE, `${SERVICE}-ipv4`, `${SERVICE}-ipv6`]
    .flatMap((name) => slices.get(`default/${name}`) ?? [])
    .filter(({ metadata }) => metadata.labels["kubernetes.io/service-name"] === SERVICE);
  return own.flatMap(({ endpoints, ports = [] }) => {
    const port = ports.find(({ name }) => name === "https")?.port;
    if (!endpoints || port === undefined) return [];
    return unpackEndpoints(endpoints).flatMap(({ addresses }) => addresses)
      .map((address) => `https://${address.includes(":") ? `[${address}]` : address}:${port}`);
  });
}
