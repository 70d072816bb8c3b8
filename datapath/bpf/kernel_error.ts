/** The one error of everything that asks the kernel for something. */

/** errno values of Linux by name (include/uapi/asm-generic/errno-base.h, errno.h; the same on x86-64 and arm64). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ENOLINK: 67,
  EPROTO: 71,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
  ESTALE: 116,
  ENOTSUPP: 524,
} as const;

/** A name of {@linkcode ERRNO}. */
export type ErrnoName = keyof typeof ERRNO;

const NAMES = new Map<number, ErrnoName>(
  Object.entries(ERRNO).map(([name, value]) => [value, name as ErrnoName]),
);

/** Numbers that libbpf has besides, from 4000 on: enum libbpf_errno of libbpf_legacy.h. */
const LIBBPF_NAMES = "LIBELF FORMAT KVERSION ENDIAN INTERNAL RELOC LOAD VERIFY PROG2BIG KVER " +
  "PROGTYPE WRNGPID INVSEQ NLPARSE";

/** The name of an errno value, or `errno N` for one that is not in the table. */
export function errnoName(errno: number): string {
  const ofLibbpf = LIBBPF_NAMES.split(" ")[errno - 4000];
  return NAMES.get(errno) ?? (ofLibbpf ? `LIBBPF_ERRNO__${ofLibbpf}` : `errno ${errno}`);
}

/** What a {@linkcode KernelError} says. */
export interface KernelErrorOptions {
  /** What was tried, as a verb phrase: "attach tcx ingress". */
  operation: string;
  /** On what: a device, map, path or program name. */
  target: string;
  /** Positive errno value. */
  errno: number;
  /** What the user can do about it. */
  hint?: string;
  /** For a rejected program: the end of the verifier's log. For netlink: the kernel's extended ack. */
  log?: string;
  /** What it came of. */
  cause?: unknown;
}

/**
 * A request that the kernel refused: which operation, on what, the errno's name, what to do, and for
 * a rejected program the end of the verifier's log.
 */
export class KernelError extends Error {
  /** The class's name. */
  override readonly name = "KernelError";
  /** What was tried, as a verb phrase. */
  readonly operation: string;
  /** On what. */
  readonly target: string;
  /** Positive errno value. */
  readonly errno: number;
  /** The errno's name, "ENOENT". */
  readonly code: string;
  /** What to do about it. */
  readonly hint: string | undefined;
  /** The verifier's, libbpf's or netlink's own words. */
  readonly log: string | undefined;

  /** The message is made of the parts. */
  constructor({ operation, target, errno, hint, log, cause }: KernelErrorOptions) {
    const code = errnoName(errno);
    let message = `Cannot ${operation} ${target}: ${code}`;
    if (hint) message += `: ${hint}`;
    if (log) message += `\n${log.trimEnd()}`;
    super(message, cause === undefined ? undefined : { cause });
    this.operation = operation;
    this.target = target;
    this.errno = errno;
    this.code = code;
    this.hint = hint;
    this.log = log;
  }
}

/** Whether `error` is a KernelError with one of the given errno names. */
export function isErrno(error: unknown, ...names: ErrnoName[]): error is KernelError {
  return error instanceof KernelError && names.some((n) => ERRNO[n] === error.errno);
}
