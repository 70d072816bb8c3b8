/** The CNI plugin. */

/** Serves the call that the CNI_ variables describe and returns the exit code. */
export function runCni(): Promise<number> {
  console.log(JSON.stringify({ cniVersion: "1.1.0", code: 50, msg: "The plugin is not available" }));
  return Promise.resolve(1);
}
