/** The lab of the silent pod. */

import type { RoutingMode } from "../../datapath/loader.ts";
import { DROP_REASONS } from "../../agent/flows/names.ts";
import { withLab } from "../lab/test_lab.ts";
import { type Cast, makeCast } from "./cast.ts";
import { Trial } from "./run.ts";

/** Makes the lab with its cast and runs `story`; drops may have any reason that has a name. */
export async function silentPod(
  routing: RoutingMode,
  story: (trial: Trial, cast: Cast) => Promise<void>,
): Promise<void> {
  await withLab({ routing, followDrops: false }, async (told) => {
    told.expectDrops(...[...DROP_REASONS.values()].map(({ text }) => text));
    const cast = await makeCast(told);
    await story(await Trial.prepare(cast, routing), cast);
  });
}
