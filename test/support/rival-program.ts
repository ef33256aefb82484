import { attachProgram, loadVerdict } from '../../src/datapath/bpf-syscall.ts'
import type { Mechanism } from '../../src/datapath/hooks/hooks.ts'
import { libbpf, tcHook, tcOptions } from '../../src/datapath/libbpf.ts'
import { checkNegative, native } from '../../src/linux/libc.ts'

const accept = 0

/** For tests: another's program, which lets nobody see a packet after it, before all that hangs on the way into a device. */
export function goAhead(mechanism: Mechanism, ifindex: number, name: string): void {
  const programFd = loadVerdict(name, accept)
  try {
    if (mechanism === 'tcx') attachProgram({ ifindex, attachType: 46 }, programFd, 'go ahead')
    else attachFilter(ifindex, programFd)
  } finally {
    native.close(programFd)
  }
}

/** By the handle and the priority that everybody takes. */
function attachFilter(ifindex: number, programFd: number): void {
  const hook = tcHook(ifindex, 'ingress')
  libbpf().hookCreate(hook)
  checkNegative('go ahead', libbpf().hookAttach(hook, tcOptions({ handle: 1, priority: 1, programFd })))
}
