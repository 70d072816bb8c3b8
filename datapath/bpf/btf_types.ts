/** The kinds of types in BTF (kernel: Documentation/bpf/btf.rst). */

/** A type that holds no other. `size` in bytes, 0 for void. */
export interface BtfInt {
  kind: "int";
  name: string;
  size: number;
  signed: boolean;
  bool: boolean;
}

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

export interface BtfStruct {
  kind: "struct" | "union";
  name: string;
  size: number;
  members: BtfMember[];
}

export interface BtfEnum {
  kind: "enum";
  name: string;
  size: number;
  signed: boolean;
  values: { name: string; value: bigint }[];
}

export interface BtfArray {
  kind: "array";
  name: "";
  /** Type id of the elements. */
  type: number;
  length: number;
}

/** A type that is another by a different name or with a qualifier, or points to it. */
export interface BtfReference {
  kind: "ptr" | "typedef" | "volatile" | "const" | "restrict" | "type_tag" | "func";
  name: string;
  type: number;
}

export interface BtfVar {
  kind: "var";
  name: string;
  type: number;
}

/** A section of variables. */
export interface BtfDatasec {
  kind: "datasec";
  name: string;
  size: number;
  /** `type` is the id of a BtfVar. Offsets are 0 in a file that libbpf has not opened yet. */
  variables: { type: number; offset: number; size: number }[];
}

/** A remark on a type, variable, function (`component` -1) or on a member of it. */
export interface BtfDeclTag {
  kind: "decl_tag";
  name: string;
  type: number;
  component: number;
}

export interface BtfOther {
  kind: "void" | "fwd" | "func_proto" | "float";
  name: string;
  size: number;
}

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
