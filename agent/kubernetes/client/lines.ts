/** Lines of a stream of bytes. */

/**
 * Yields the lines as they become whole; the last one without an end is none, as it may be cut off.
 * Throws RangeError for one that is longer than `maxLength` characters.
 */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  maxLength: number,
): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true });
    let begin = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", begin)) {
      const line = rest + text.slice(begin, end);
      rest = "";
      begin = end + 1;
      if (line.trim() !== "") yield line;
    }
    rest += text.slice(begin);
    if (rest.length > maxLength) {
      throw new RangeError(`a line has more than ${maxLength} characters`);
    }
  }
}
