/** What `pilus uninstall` works by: first a list of what is there, then one removal after the other. */

/** One thing that pilus has put on the node. */
export interface Removal {
  kind: "program" | "pod" | "device" | "queue" | "route" | "address" | "map" | "sysctl" | "file";
  what: string;
  /** One that is gone meanwhile is no error. */
  remove(): void;
}

/** Something that stays. */
export interface Left {
  what: string;
  why: string;
}

/** What is there, in the order in which it can be removed. */
export interface UninstallPlan {
  removals: Removal[];
  left: Left[];
}

/** A removal that did not succeed. */
export interface FailedRemoval {
  removal: Removal;
  error: Error;
}

/** Removes one after the other; a failure does not keep the next from being removed. */
export function removeAll(removals: readonly Removal[]): FailedRemoval[] {
  const failed: FailedRemoval[] = [];
  for (const removal of removals) {
    try {
      removal.remove();
    } catch (error) {
      failed.push({ removal, error: error instanceof Error ? error : new Error(String(error)) });
    }
  }
  return failed;
}
