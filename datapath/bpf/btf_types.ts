/** The kinds of types in BTF (kernel: Documentation/bpf/btf.rst). */

/** A type that holds no other. `size` in bytes, 0 for void. */
export interface BtfInt {
  /** Which kind of type it is. */
  kind: "int";
  /** As in C; "" when it has none. */
  name: string;
  /** Bytes. */
  size: number;
  /** Whether it has negative values. */
  signed: boolean;
  /** Whether it is `_Bool`. */
  bool: boolean;
}

/** A member of a struct or union. */
export interface BtfMember {
  /** "" for an anonymous struct or union. */
  name: string;
  /** Type id. */
  type: number;
  /** From the start of the struct, in bits. */
  bitOffset: number;
  /** 0 when the member is no bitfield. */
  bitSize: number;
}

/** A struct or union. */
export interface BtfStruct {
  /** Which kind of type it is. */
  kind: "struct" | "union";
  /** As in C; "" when it has none. */
  name: string;
  /** Bytes. */
  size: number;
  /** In their order. */
  members: BtfMember[];
}

/** An enum. */
export interface BtfEnum {
  /** Which kind of type it is. */
  kind: "enum";
  /** As in C; "" when it has none. */
  name: string;
  /** Bytes. */
  size: number;
  /** Whether it has negative values. */
  signed: boolean;
  /** Its constants, in their order. */
  values: { name: string; value: bigint }[];
}

/** An array. */
export interface BtfArray {
  /** Which kind of type it is. */
  kind: "array";
  /** It has none. */
  name: "";
  /** Type id of the elements. */
  type: number;
  /** Elements. */
  length: number;
}

/** A type that is another by a different name or with a qualifier, or points to it. */
export interface BtfReference {
  /** Which kind of type it is. */
  kind: "ptr" | "typedef" | "volatile" | "const" | "restrict" | "type_tag" | "func";
  /** As in C; "" when it has none. */
  name: string;
  /** Type id. */
  type: number;
}

/** A global variable. */
export interface BtfVar {
  /** Which kind of type it is. */
  kind: "var";
  /** As in C; "" when it has none. */
  name: string;
  /** Type id. */
  type: number;
}

/** A section of variables. */
export interface BtfDatasec {
  /** Which kind of type it is. */
  kind: "datasec";
  /** As in C; "" when it has none. */
  name: string;
  /** Bytes. */
  size: number;
  /** `type` is the id of a BtfVar. Offsets are 0 in a file that libbpf has not opened yet. */
  variables: { type: number; offset: number; size: number }[];
}

/** A remark on a type, variable, function (`component` -1) or on a member of it. */
export interface BtfDeclTag {
  /** Which kind of type it is. */
  kind: "decl_tag";
  /** As in C; "" when it has none. */
  name: string;
  /** Type id. */
  type: number;
  /** The number of a member or parameter; -1: the whole. */
  component: number;
}

/** A type without more to say. */
export interface BtfOther {
  /** Which kind of type it is. */
  kind: "void" | "fwd" | "func_proto" | "float";
  /** As in C; "" when it has none. */
  name: string;
  /** Bytes. */
  size: number;
}

/** Any type. */
export type BtfType =
  | BtfInt
  | BtfStruct
  | BtfEnum
  | BtfArray
  | BtfReference
  | BtfVar
  | BtfDatasec
  | BtfDeclTag
  | BtfOther;
