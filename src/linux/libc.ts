import { getSystemErrorName } from 'node:util'
import koffi, { type LibraryHandle } from 'koffi'

/**
 * System calls that Node.js does not offer. All of them are synchronous. They run on this thread, in the network namespace that the thread
 * is in at that moment (netns.ts).
 */
const libc = koffi.load('libc.so.6')

/** Gives the calls types, because koffi returns `any`. */
export function foreign<Args extends unknown[], Result>(
  library: LibraryHandle,
  definition: string,
): (...args: Args) => Result {
  return library.func(definition) as unknown as (...args: Args) => Result
}

type Pointer = Buffer | bigint | null

export const native = {
  syscall: foreign<[number, number, Pointer, number], number>(
    libc,
    'int64_t syscall(long number, int command, void *attr, uint32_t size)',
  ),
  unshare: foreign<[number], number>(libc, 'int unshare(int flags)'),
  setns: foreign<[number, number], number>(libc, 'int setns(int fd, int nstype)'),
  mount: foreign<[string, string, string, number, string | null], number>(
    libc,
    'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
  ),
  umount2: foreign<[string, number], number>(libc, 'int umount2(const char *target, int flags)'),
  socket: foreign<[number, number, number], number>(libc, 'int socket(int domain, int type, int protocol)'),
  bind: foreign<[number, Buffer, number], number>(
    libc,
    'int bind(int fd, const void *address, uint32_t length)',
  ),
  getsockname: foreign<[number, Buffer, Buffer], number>(
    libc,
    'int getsockname(int fd, void *address, void *length)',
  ),
  setsockopt: foreign<[number, number, number, Buffer, number], number>(
    libc,
    'int setsockopt(int fd, int level, int name, const void *value, uint32_t length)',
  ),
  getsockopt: foreign<[number, number, number, Buffer, Buffer], number>(
    libc,
    'int getsockopt(int fd, int level, int name, void *value, void *length)',
  ),
  send: foreign<[number, Buffer, number, number], number>(
    libc,
    'int64_t send(int fd, const void *buffer, size_t length, int flags)',
  ),
  sendto: foreign<[number, Buffer, number, number, Buffer, number], number>(
    libc,
    'int64_t sendto(int fd, const void *buffer, size_t length, int flags, const void *address, uint32_t size)',
  ),
  recv: foreign<[number, Buffer, number, number], number>(
    libc,
    'int64_t recv(int fd, void *buffer, size_t length, int flags)',
  ),
  close: foreign<[number], number>(libc, 'int close(int fd)'),
  ifNameToIndex: foreign<[string], number>(libc, 'unsigned int if_nametoindex(const char *name)'),
  ifIndexToName: foreign<[number, Buffer], unknown>(
    libc,
    'void *if_indextoname(unsigned int index, char *name)',
  ),
  malloc_trim: foreign<[number], number>(libc, 'int malloc_trim(size_t pad)'),
  vsnprintf: foreign<[Buffer, number, unknown, unknown], number>(
    libc,
    'int vsnprintf(void *buffer, size_t size, const void *format, void *arguments)',
  ),
}

/** A system call that failed, with the kernel's own message. `code` is ENOENT, EPERM and so on. */
export class KernelError extends Error {
  readonly code: string

  constructor(attempted: string, errno: number, detail?: string) {
    const code = errorName(errno)
    super(`${attempted}: ${code}${detail === undefined || detail === '' ? '' : ` (${detail})`}`)
    this.name = 'KernelError'
    this.code = code
  }
}

function errorName(errno: number): string {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `errno ${errno}`
  }
}

export function isKernelError(error: unknown, ...codes: string[]): boolean {
  return error instanceof KernelError && codes.includes(error.code)
}

/** For calls that return -1 and set errno. */
export function check(attempted: string, result: number): number {
  if (result < 0) throw new KernelError(attempted, koffi.errno())
  return result
}

/** For libbpf, which returns -errno. */
export function checkNegative(attempted: string, result: number, detail?: string): number {
  if (result < 0) throw new KernelError(attempted, -result, detail)
  return result
}
