/** A filter that cannot be; the message says which field and why. */
export class FilterError extends Error {
  override readonly name = "FilterError";
}
