/** The texts that the reading of manifests is tried on: the same for the same seed. */

import { generator } from "../../datapath/testdata/random.ts";
import { type KindShape, Maker } from "./shape.ts";
import { Writer } from "./text.ts";

/** The seed and size of the corpus that verdicts are recorded of. */
export const SEED = 20261128;
export const SIZE = 5000;

/** Texts of one document or some, valid and broken. */
export function corpus(shapes: readonly KindShape[], seed = SEED, size = SIZE): string[] {
  const below = generator(seed);
  const maker = new Maker(below);
  const writer = new Writer(maker);
  const resource = () => {
    const { apiVersion, kind, shape } = maker.pick(shapes);
    const made = maker.make(shape);
    return { apiVersion, kind, ...typeof made === "object" ? made : {} };
  };
  return Array.from({ length: size }, () => {
    maker.faults = maker.pick([0, 0, 1, 1, 1, 2]);
    if (maker.once(20)) {
      return writer.document({ apiVersion: "v1", kind: "List", items: [resource()] });
    }
    const first = writer.document(resource());
    return maker.once(20) ? `${first}\n---\n${writer.document(resource())}` : first;
  });
}
