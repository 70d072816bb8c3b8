import { assert, assertEquals, assertThrows } from "@std/assert";
import type { DatabaseSync } from "node:sqlite";
import { openDatabase } from "../../core/database.ts";
import { AddressesExhaustedError, AddressPool, AddressTakenError } from "./address_pool.ts";

function withDatabase(test: (database: DatabaseSync, reopen: () => DatabaseSync) => void): void {
  const directory = Deno.makeTempDirSync({ prefix: "pilus-ipam-" });
  let database = openDatabase(`${directory}/pilus.db`);
  try {
    test(database, () => {
      database.close();
      return database = openDatabase(`${directory}/pilus.db`);
    });
  } finally {
    database.close();
    Deno.removeSync(directory, { recursive: true });
  }
}

Deno.test("AddressPool gives both families, and the same ones to an owner that asks again", () => {
  withDatabase((database) => {
    const pool = new AddressPool(database, ["10.0.1.0/24", "fd00:0:0:1::/64"]);
    assertEquals(pool.router, { ipv4: "10.0.1.1", ipv6: "fd00:0:0:1::1" });
    assertEquals(pool.allocate("a/eth0"), { ipv4: "10.0.1.2", ipv6: "fd00:0:0:1::2" });
    assertEquals(pool.allocate("b/eth0"), { ipv4: "10.0.1.3", ipv6: "fd00:0:0:1::3" });
    assertEquals(pool.allocate("a/eth0"), pool.get("a/eth0"));
    assertEquals(pool.owners(), ["a/eth0", "b/eth0"]);
  });
});

Deno.test("AddressPool never gives network, router and broadcast address, and says when it is exhausted", () => {
  withDatabase((database) => {
    const pool = new AddressPool(database, ["10.0.1.0/29"]);
    const given = [1, 2, 3, 4, 5].map((n) => pool.allocate(`${n}`).ipv4);
    assertEquals(given, ["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5", "10.0.1.6"]);
    assertThrows(
      () => pool.allocate("6"),
      AddressesExhaustedError,
      "Pod range 10.0.1.0/29 is exhausted: 5 of 5 addresses are in use",
    );
    assert(pool.release("2"));
    assert(!pool.release("2"));
    assertEquals(pool.allocate("6").ipv4, "10.0.1.3");
  });
});

Deno.test("AddressPool uses the address that was freed longest ago, across a restart", () => {
  withDatabase((database, reopen) => {
    let pool = new AddressPool(database, ["10.0.1.0/29"]);
    for (const owner of ["1", "2", "3"]) pool.allocate(owner);
    pool.release("3");
    pool.release("1");
    pool = new AddressPool(reopen(), ["10.0.1.0/29"]);
    const given = ["4", "5", "6", "7"].map((owner) => pool.allocate(owner).ipv4);
    assertEquals(given, ["10.0.1.5", "10.0.1.6", "10.0.1.4", "10.0.1.2"]);
    assertEquals(pool.get("2").ipv4, "10.0.1.3");
    assertEquals(pool.usage(), [{ family: "ipv4", range: "10.0.1.0/29", used: 5, capacity: 5 }]);
  });
});

Deno.test("AddressPool gives no family when the other one is exhausted", () => {
  withDatabase((database) => {
    const pool = new AddressPool(database, ["fd00::/64", "10.0.1.0/30"]);
    pool.allocate("a");
    assertThrows(() => pool.allocate("b"), AddressesExhaustedError, "10.0.1.0/30");
    assertEquals(pool.get("b"), {});
    assertEquals(pool.usage().map((u) => u.used), [1, 1]);
  });
});

Deno.test("AddressPool.reserve() takes a free address and refuses the others by name", () => {
  withDatabase((database) => {
    const pool = new AddressPool(database, ["10.0.1.0/24"]);
    pool.reserve("a", "10.0.1.3");
    pool.reserve("a", "10.0.1.3");
    assertEquals([pool.allocate("b").ipv4, pool.allocate("c").ipv4], ["10.0.1.2", "10.0.1.4"]);
    assertThrows(() => pool.reserve("d", "10.0.1.3"), AddressTakenError, "a has it");
    assertThrows(() => pool.reserve("a", "10.0.1.9"), AddressTakenError, "a has 10.0.1.3");
    assertThrows(() => pool.reserve("d", "10.0.1.1"), AddressTakenError, "not among");
    assertThrows(() => pool.reserve("d", "10.0.1.255"), AddressTakenError, "not among");
    assertThrows(() => pool.reserve("d", "10.9.1.3"), AddressTakenError, "no pod CIDR");
  });
});

Deno.test("AddressPool refuses pod CIDRs that it cannot serve", () => {
  withDatabase((database) => {
    assertThrows(() => new AddressPool(database, []), TypeError, "got none");
    assertThrows(() => new AddressPool(database, ["10.0.0.0/31"]), RangeError, "at most /30");
    assertThrows(() => new AddressPool(database, ["fd00::/127"]), RangeError, "at most /126");
    assertThrows(
      () => new AddressPool(database, ["10.0.0.0/24", "10.1.0.0/24"]),
      TypeError,
      "one ipv4 pod CIDR",
    );
  });
});
