/** The CNI plugin's half of the API: endpoints made, checked and deleted. */

import { EndpointError, type EndpointErrorCode } from "../../api/endpoint.ts";
import { isNamespaceName, isResourceName } from "../../kubernetes/names.ts";
import { doQueuedDelete } from "./delete_queue.ts";
import { requireAnswering } from "./pod_namespace.ts";
import type { EndpointManager } from "./endpoint_manager.ts";
import { ApiError, type ApiRoutes } from "../../api/server.ts";
import type {
  EndpointCreateRequest,
  EndpointCreateResponse,
  EndpointGcRequest,
} from "../../api/types.ts";

const STATUS: Record<EndpointErrorCode, number> = {
  "invalid": 400,
  "netns": 400,
  "not-found": 404,
  "exhausted": 503,
  "unhealthy": 409,
  "internal": 500,
};

const MAX_TEXT = 4096;

/** `value` when it is text that can go into paths and the kernel. Throws ApiError 400. */
function text(value: unknown, name: string, { optional = false } = {}): string {
  if (value === undefined && optional) return "";
  if (typeof value !== "string" || (value === "" && !optional) || value.length > MAX_TEXT) {
    const message = `${name} must be text of 1 to ${MAX_TEXT} characters`;
    throw new ApiError(400, { code: "invalid", message });
  }
  if (value.includes("\0")) {
    throw new ApiError(400, { code: "invalid", message: `${name} holds a NUL character` });
  }
  return value;
}

/** Of a container: its number, and the name that podman gives to one of no Pod. */
const CONTAINER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}$/;

/** Throws ApiError 400 for names that the runtime or the API would not have. */
function checkNames({ containerId, namespace = "", pod = "" }: EndpointCreateRequest): void {
  const wrong = !CONTAINER.test(containerId)
    ? `containerId ${shown(containerId)} must be letters, digits and _ . -`
    : namespace !== "" && !isNamespaceName(namespace)
    ? `namespace ${shown(namespace)} is no name of a namespace`
    : pod !== "" && namespace !== "" && !isResourceName(pod)
    ? `pod ${shown(pod)} is no name of a pod`
    : pod !== "" && !CONTAINER.test(pod)
    ? `container ${shown(pod)} must be letters, digits and _ . -`
    : undefined;
  if (wrong !== undefined) throw new ApiError(400, { code: "invalid", message: wrong });
}

const shown = (text: string) => JSON.stringify(text.slice(0, 100));

/** Turns an EndpointError into an answer. */
async function answered<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof EndpointError)) throw error;
    const { code, message, hint } = error;
    throw new ApiError(STATUS[code], {
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/** Routes over the manager: create, delete, check and gc. The state directory has queued deletions. */
export function endpointRoutes(manager: EndpointManager, stateDir: string): ApiRoutes {
  return {
    "POST /v1/endpoints": async ({ json, signal }): Promise<EndpointCreateResponse> => {
      const body = await json<Partial<EndpointCreateRequest>>();
      const request = {
        containerId: text(body.containerId, "containerId"),
        ifname: text(body.ifname, "ifname"),
        netns: text(body.netns, "netns"),
        namespace: text(body.namespace, "namespace", { optional: true }),
        pod: text(body.pod, "pod", { optional: true }),
      };
      checkNames(request);
      await answered(() => requireAnswering(request.netns));
      await doQueuedDelete(stateDir, request, (...endpoint) => manager.delete(...endpoint));
      const endpoint = await answered(() => manager.create(request, signal));
      return { endpoint, router: manager.router };
    },
    "DELETE /v1/endpoints/{containerId}/{ifname}": ({ params }) =>
      answered(async () => {
        const deleted = await manager.delete(params.containerId!, params.ifname!);
        return { deleted };
      }),
    "GET /v1/endpoints/{containerId}/{ifname}/check": ({ params }) =>
      answered(() => manager.check(params.containerId!, params.ifname!)),
    "POST /v1/endpoints/gc": async ({ json }) => {
      const { valid } = await json<Partial<EndpointGcRequest>>();
      if (!Array.isArray(valid)) {
        throw new ApiError(400, { code: "invalid", message: "valid must be a list" });
      }
      const keep = valid.map((row) => ({
        containerId: text(row?.containerId, "valid[].containerId"),
        ifname: text(row?.ifname, "valid[].ifname"),
      }));
      return await answered(() => manager.gc(keep));
    },
  };
}
