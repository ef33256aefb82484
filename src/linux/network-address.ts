import { type Address, addressBytes, addressFromBytes } from '../net/address.ts'
import { addressFamily } from './netlink-message.ts'

const mappedPrefix = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])

/** An address as the kernel's structs contain it: four bytes or sixteen. */
export function kernelBytes(address: Address): Uint8Array {
  const bytes = addressBytes(address)
  return address.includes(':') ? bytes : bytes.subarray(12)
}

export function fromKernelBytes(bytes: Uint8Array): Address {
  return addressFromBytes(bytes.length === 4 ? Buffer.concat([mappedPrefix, bytes]) : bytes)
}

export function familyNumber(address: Address): number {
  return address.includes(':') ? addressFamily.ipv6 : addressFamily.ipv4
}
