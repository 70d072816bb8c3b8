import { assertEquals, assertThrows } from "@std/assert";
import { HpackDecoder, HpackError } from "./decoder.ts";
import { encodeHeaders } from "./encoder.ts";
import { decodeHuffman } from "./huffman.ts";

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.replaceAll(" ", "").match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** RFC 7541, appendix C.4: three requests of one connection, Huffman coded. */
Deno.test("HpackDecoder reads the requests of RFC 7541, C.4, with its dynamic table", () => {
  const decoder = new HpackDecoder();
  for (
    const [block, wanted] of [
      ["8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", {}],
      ["8286 84be 5886 a8eb 1064 9cbf", { "cache-control": "no-cache" }],
      [
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        { ":scheme": "https", ":path": "/index.html", "custom-key": "custom-value" },
      ],
    ] as const
  ) {
    assertEquals(Object.fromEntries(decoder.decode(bytes(block))), {
      ":method": "GET",
      ":scheme": "http",
      ":path": "/",
      ":authority": "www.example.com",
      ...wanted,
    });
  }
});

/** RFC 7541, appendix C.6: responses with a table of 256 bytes, from which fields go. */
Deno.test("HpackDecoder drops fields from a table that was made smaller", () => {
  const decoder = new HpackDecoder();
  decoder.decode(bytes("3fe101"));
  const first = decoder.decode(bytes(
    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d" +
      "29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
  ));
  assertEquals(first.get(":status"), "302");
  assertEquals(first.get("date"), "Mon, 21 Oct 2013 20:13:21 GMT");
  const second = decoder.decode(bytes("4883 640e ffc1 c0bf"));
  assertEquals(second.get(":status"), "307");
  assertEquals(second.get("location"), "https://www.example.com");
  assertThrows(() => decoder.decode(bytes("c2")), HpackError, "no header field has the index 66");
});

Deno.test("HpackDecoder reads what encodeHeaders() writes, long texts too", () => {
  const fields = [[":path", "/a/B"], ["x", "y".repeat(126)], ["z", "long".repeat(5000)]] as const;
  assertEquals(
    [...new HpackDecoder().decode(encodeHeaders(fields))],
    [...fields].map((f) => [...f]),
  );
});

for (
  const [what, block, message] of [
    ["index 0", "80", "no header field has the index 0"],
    ["an index beyond both tables", "be", "no header field has the index 62"],
    ["a text that is cut", "0005 61", "ends too early"],
    ["a block that is cut", "40", "ends too early"],
    ["an integer without end", "ff ffffffffff", "an integer is too large"],
    ["a table larger than offered", "3fe13f", "was not offered"],
    ["wrong padding of Huffman", "0081 00 00", "not Huffman coded"],
    ["the end symbol of Huffman", "0084 ffffffff 00", "not Huffman coded"],
  ] as const
) {
  Deno.test(`HpackDecoder refuses ${what}`, () => {
    assertThrows(() => new HpackDecoder().decode(bytes(block)), HpackError, message);
  });
}

Deno.test("HpackDecoder refuses a block that grows by its own table", () => {
  // a field of 4000 bytes, then its index again and again
  const big = encodeHeaders([["a", "b".repeat(3900)]]);
  big[0] = 0x40;
  const block = new Uint8Array(big.length + 20).fill(0xbe);
  block.set(big);
  assertThrows(() => new HpackDecoder().decode(block), HpackError, "too many header fields");
});

Deno.test("decodeHuffman() gives each byte for its code", () => {
  assertEquals(
    decodeHuffman(bytes("f1e3 c2e5 f23a 6ba0 ab90 f4ff")),
    new TextEncoder().encode("www.example.com"),
  );
});
