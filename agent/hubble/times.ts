/** Times of Hubble's API. */

/** A time in milliseconds since 1970, as a message. */
export function timeMessage(ms: number): { seconds: number; nanos: number } {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.floor((ms - seconds * 1000) * 1e6) };
}
