/** gRPC's health checks: who asks is answered, so the server serves. */

import { untilAborted } from "../core/pause.ts";
import type { GrpcMethods } from "../grpc/grpc_server.ts";
import { GrpcError, Status } from "../grpc/status.ts";
import { decode, encode } from "./messages.ts";

const SERVING = 1, SERVICE_UNKNOWN = 3;

/** The methods of the service, by path; `services` are those that can be asked about. */
export function healthMethods(services: readonly string[]): GrpcMethods {
  const isKnown = (bytes: Uint8Array) => {
    const { service = "" } = decode<{ service?: string }>(
      "grpc.health.v1.HealthCheckRequest",
      bytes,
    );
    return service === "" || services.includes(service);
  };
  const answer = (status: number) => [encode("grpc.health.v1.HealthCheckResponse", { status })];
  return {
    "/grpc.health.v1.Health/Check": async function* (bytes) {
      if (!isKnown(bytes)) throw new GrpcError(Status.NOT_FOUND, "there is no such service");
      yield await answer(SERVING);
    },
    "/grpc.health.v1.Health/Watch": async function* (bytes, { signal }) {
      yield answer(isKnown(bytes) ? SERVING : SERVICE_UNKNOWN);
      await untilAborted(signal);
    },
  };
}
