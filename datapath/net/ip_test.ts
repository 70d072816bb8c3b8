import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  addToIp,
  cidrAddress,
  cidrContains,
  cidrContainsCidr,
  cidrSize,
  formatCidr,
  formatIp,
  ipFromRaw,
  isIpv4,
  isIpv4Cidr,
  maskCidr,
  parseCidr,
  parseIp,
  rawIp,
  tryParseIp,
} from "./ip.ts";

Deno.test("parseIp() and formatIp() turn every spelling into the canonical one", () => {
  for (
    const [text, canonical] of [
      ["10.0.0.1", "10.0.0.1"],
      ["0.0.0.0", "0.0.0.0"],
      ["::ffff:1.2.3.4", "1.2.3.4"],
      ["::", "::"],
      ["::1", "::1"],
      ["1::", "1::"],
      ["fd00:0:0:1:0:0:0:1", "fd00:0:0:1::1"],
      ["2001:DB8::A", "2001:db8::a"],
      ["1:0:0:2:0:0:3:4", "1::2:0:0:3:4"],
      ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
      ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
      ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ]
  ) assertEquals(formatIp(parseIp(text!)), canonical!);
});

Deno.test("parseIp() refuses what is no address", () => {
  for (
    const text of [
      "",
      "1.2.3",
      "1.2.3.4.5",
      "1.2.3.256",
      "01.2.3.4",
      " 1.2.3.4",
      ":",
      ":::",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7:8::",
      "12345::",
      "fe80::1%eth0",
      "::1.2.3",
      "g::",
      "1.2.3.4::",
    ]
  ) {
    assertEquals(tryParseIp(text), undefined, text);
    assertThrows(() => parseIp(text), TypeError, JSON.stringify(text));
  }
});

Deno.test("isIpv4() knows mapped addresses, and rawIp() and ipFromRaw() are inverse", () => {
  assert(isIpv4(parseIp("10.1.2.3")));
  assert(!isIpv4(parseIp("::10.1.2.3")));
  assertEquals([...rawIp(parseIp("10.1.2.3"))], [10, 1, 2, 3]);
  for (const text of ["10.1.2.3", "fd00::7"]) {
    assertEquals(formatIp(ipFromRaw(rawIp(parseIp(text)))), text);
  }
});

Deno.test("parseCidr() counts IPv4 prefixes over 128 bits and formatCidr() turns them back", () => {
  assertEquals(parseCidr("10.0.0.0/8").prefixLength, 104);
  assertEquals(parseCidr("0.0.0.0/0").prefixLength, 96);
  assertEquals(parseCidr("10.0.0.1").prefixLength, 128);
  for (const text of ["10.0.0.0/8", "0.0.0.0/0", "fd00::/48", "::/0", "10.0.0.1/32"]) {
    assertEquals(formatCidr(parseCidr(text)), text);
  }
  assert(isIpv4Cidr(parseCidr("0.0.0.0/0")));
  assert(!isIpv4Cidr(parseCidr("::/0")));
  for (const text of ["10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/08", "/8", "10.0.0.0/-1"]) {
    assertThrows(() => parseCidr(text), TypeError);
  }
});

Deno.test("cidrContains() looks at the prefix bits alone", () => {
  const cidr = parseCidr("10.1.128.0/17");
  assert(cidrContains(cidr, parseIp("10.1.255.255")));
  assert(!cidrContains(cidr, parseIp("10.1.127.255")));
  assert(cidrContains(parseCidr("fd00::/127"), parseIp("fd00::1")));
  assert(!cidrContains(parseCidr("fd00::/127"), parseIp("fd00::2")));
  assert(cidrContains(parseCidr("::/0"), parseIp("fd00::2")));
  assert(!cidrContains(parseCidr("0.0.0.0/0"), parseIp("fd00::2")));
  assert(cidrContainsCidr(parseCidr("10.0.0.0/8"), parseCidr("10.1.0.0/16")));
  assert(!cidrContainsCidr(parseCidr("10.1.0.0/16"), parseCidr("10.0.0.0/8")));
});

Deno.test("maskCidr(), cidrSize() and cidrAddress() count the addresses of a prefix", () => {
  assertEquals(formatCidr(maskCidr(parseCidr("10.1.2.3/22"))), "10.1.0.0/22");
  assertEquals(formatCidr(maskCidr(parseCidr("fd00::ff/124"))), "fd00::f0/124");
  assertEquals(cidrSize(parseCidr("10.0.0.0/24")), 256n);
  assertEquals(formatIp(cidrAddress(parseCidr("10.0.0.7/24"), 255)), "10.0.0.255");
  assertThrows(() => cidrAddress(parseCidr("10.0.0.0/24"), 256), RangeError);
  assertEquals(formatIp(addToIp(parseIp("fd00::ffff:ffff"), 1)), "fd00::1:0:0");
});
