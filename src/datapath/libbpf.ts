import { promisify } from 'node:util'
import koffi, { type LibraryHandle } from 'koffi'
import { foreign, native } from '../linux/libc.ts'

/**
 * Debian's libbpf.so.1 (1.1 and later). It reads, relocates and loads the object file, and has calls for maps.
 * bpf-syscall.ts calls bpf(2) directly for what it lacks.
 */
export type Handle = unknown

interface Libbpf {
  open(path: string, options: null): Handle
  load(object: Handle): number
  /** On another thread: the verifier reads the programs for a long time. */
  loadElsewhere(object: Handle): Promise<number>
  close(object: Handle): void
  program(object: Handle, name: string): Handle
  programFd(program: Handle): number
  setAutoload(program: Handle, isLoaded: boolean): number
  map(object: Handle, name: string): Handle
  mapFd(map: Handle): number
  setPinPath(map: Handle, path: string): number
  setAutocreate(map: Handle, isCreated: boolean): number
  setMaxEntries(map: Handle, count: number): number
  reuseFd(map: Handle, fd: number): number
  initialValue(map: Handle, size: number[]): Handle
  possibleCpus(): number
  update(fd: number, key: Buffer, value: Buffer, flags: number): number
  lookup(fd: number, key: Buffer, value: Buffer): number
  remove(fd: number, key: Buffer): number
  nextKey(fd: number, key: Buffer | null, next: Buffer): number
  updateBatch(fd: number, keys: Buffer, values: Buffer, count: number[], options: BatchOptions): number
  deleteBatch(fd: number, keys: Buffer, count: number[], options: BatchOptions): number
  lookupBatch(
    fd: number,
    from: Buffer | null,
    to: Buffer,
    keys: Buffer,
    values: Buffer,
    count: number[],
    options: BatchOptions,
  ): number
  hookCreate(hook: TcHook): number
  hookAttach(hook: TcHook, options: TcOptions): number
  hookDetach(hook: TcHook, options: TcOptions): number
  ringNew(fd: number, callback: bigint, context: null, options: null): Handle
  ringEpollFd(ring: Handle): number
  ringConsume(ring: Handle): number
  ringFree(ring: Handle): void
}

interface BatchOptions {
  sz: number
  elem_flags: number
  flags: number
}

interface TcHook {
  sz: number
  ifindex: number
  attach_point: number
  parent: number
}

interface TcOptions {
  sz: number
  prog_fd: number
  flags: number
  prog_id: number
  handle: number
  priority: number
}

/** koffi fills a missing field with zero without an error. With these builders no field can be missing. */
export const noBatchOptions: BatchOptions = { sz: 24, elem_flags: 0, flags: 0 }

export function tcHook(ifindex: number, direction: 'ingress' | 'egress'): TcHook {
  return { sz: 24, ifindex, attach_point: direction === 'ingress' ? 1 : 2, parent: 0 }
}

/** A filter's place among the others, and the program to attach there. */
export function tcOptions(filter: {
  readonly handle: number
  readonly priority: number
  readonly programFd?: number
  readonly replaces?: boolean
}): TcOptions {
  const { handle, priority, programFd = 0, replaces = false } = filter
  return { sz: 32, prog_fd: programFd, flags: replaces ? 1 : 0, prog_id: 0, handle, priority }
}

let loaded: Libbpf | undefined

/** Loads the library at first use, so that commands without the datapath work where it is not installed. */
export function libbpf(): Libbpf {
  loaded ??= bindLibbpf()
  return loaded
}

function bindLibbpf(): Libbpf {
  const library = loadLibrary()
  for (const name of ['bpf_object', 'bpf_program', 'bpf_map', 'ring_buffer']) koffi.opaque(name)
  koffi.struct('bpf_tc_hook', { sz: 'size_t', ifindex: 'int', attach_point: 'int', parent: 'uint32_t' })
  koffi.struct('bpf_tc_opts', {
    sz: 'size_t',
    prog_fd: 'int',
    flags: 'uint32_t',
    prog_id: 'uint32_t',
    handle: 'uint32_t',
    priority: 'uint32_t',
  })
  koffi.struct('bpf_map_batch_opts', { sz: 'size_t', elem_flags: 'uint64_t', flags: 'uint64_t' })
  koffi.proto('int ring_buffer_sample_fn(void *context, void *data, size_t size)')
  koffi.proto('int libbpf_print_fn_t(int level, const void *format, void *arguments)')
  captureLog(library)
  const bind = <Args extends unknown[], Result>(definition: string) =>
    foreign<Args, Result>(library, definition)
  const load = library.func('int bpf_object__load(bpf_object *object)')
  return {
    open: bind('bpf_object *bpf_object__open_file(const char *path, const void *options)'),
    load: load as unknown as Libbpf['load'],
    loadElsewhere: promisify(load.async) as Libbpf['loadElsewhere'],
    close: bind('void bpf_object__close(bpf_object *object)'),
    program: bind('bpf_program *bpf_object__find_program_by_name(bpf_object *object, const char *name)'),
    programFd: bind('int bpf_program__fd(bpf_program *program)'),
    map: bind('bpf_map *bpf_object__find_map_by_name(bpf_object *object, const char *name)'),
    setAutoload: bind('int bpf_program__set_autoload(bpf_program *program, bool isLoaded)'),
    mapFd: bind('int bpf_map__fd(bpf_map *map)'),
    setPinPath: bind('int bpf_map__set_pin_path(bpf_map *map, const char *path)'),
    setAutocreate: bind('int bpf_map__set_autocreate(bpf_map *map, bool isCreated)'),
    setMaxEntries: bind('int bpf_map__set_max_entries(bpf_map *map, uint32_t count)'),
    reuseFd: bind('int bpf_map__reuse_fd(bpf_map *map, int fd)'),
    initialValue: bind('void *bpf_map__initial_value(bpf_map *map, _Out_ size_t *size)'),
    possibleCpus: bind('int libbpf_num_possible_cpus()'),
    update: bind('int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)'),
    lookup: bind('int bpf_map_lookup_elem(int fd, const void *key, void *value)'),
    remove: bind('int bpf_map_delete_elem(int fd, const void *key)'),
    nextKey: bind('int bpf_map_get_next_key(int fd, const void *key, void *next)'),
    updateBatch: bind(
      'int bpf_map_update_batch(int fd, const void *keys, const void *values, _Inout_ uint32_t *count, const bpf_map_batch_opts *options)',
    ),
    deleteBatch: bind(
      'int bpf_map_delete_batch(int fd, const void *keys, _Inout_ uint32_t *count, const bpf_map_batch_opts *options)',
    ),
    lookupBatch: bind(
      'int bpf_map_lookup_batch(int fd, void *from, void *to, void *keys, void *values, _Inout_ uint32_t *count, const bpf_map_batch_opts *options)',
    ),
    hookCreate: bind('int bpf_tc_hook_create(_Inout_ bpf_tc_hook *hook)'),
    hookAttach: bind('int bpf_tc_attach(const bpf_tc_hook *hook, _Inout_ bpf_tc_opts *options)'),
    hookDetach: bind('int bpf_tc_detach(const bpf_tc_hook *hook, const bpf_tc_opts *options)'),
    ringNew: bind(
      'ring_buffer *ring_buffer__new(int fd, ring_buffer_sample_fn *callback, void *context, const void *options)',
    ),
    ringEpollFd: bind('int ring_buffer__epoll_fd(ring_buffer *ring)'),
    ringConsume: bind('int ring_buffer__consume(ring_buffer *ring)'),
    ringFree: bind('void ring_buffer__free(ring_buffer *ring)'),
  }
}

function loadLibrary(): LibraryHandle {
  try {
    return koffi.load('libbpf.so.1')
  } catch (cause) {
    throw new Error('libbpf.so.1 is missing: install it with apt-get install libbpf1', { cause })
  }
}

/*
 * libbpf passes its messages and the verifier's log to a callback. The last lines become part of the next error's message. A
 * verifier's log can have megabytes, and its end matters.
 */
const logLines: string[] = []
const keptLogLines = 40
let logBuffer: Buffer | undefined

function captureLog(library: LibraryHandle): void {
  const print = koffi.register((level: number, format: unknown, args: unknown): number => {
    const debug = 2
    if (level >= debug) return 0
    logBuffer ??= Buffer.alloc(1 << 20)
    const length = native.vsnprintf(logBuffer, logBuffer.length, format, args)
    const text = logBuffer.toString('latin1', 0, Math.min(length, logBuffer.length - 1))
    logLines.push(...text.trimEnd().split('\n'))
    logLines.splice(0, logLines.length - keptLogLines)
    return length
  }, 'libbpf_print_fn_t *')
  foreign<[bigint], void>(library, 'void *libbpf_set_print(libbpf_print_fn_t *callback)')(print)
}

/** The messages of libbpf since the last call. */
export function takeLibbpfLog(): string {
  return logLines.splice(0).join('\n')
}
