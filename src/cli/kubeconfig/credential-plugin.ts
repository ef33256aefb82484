import { spawn } from 'node:child_process'
import { isatty } from 'node:tty'
import { z } from 'zod'
import { UserError } from '../user-error.ts'
import { clusterInfo } from './cluster-info.ts'
import type { Context } from './kubeconfig.ts'

/*
 * Credential plugins, as client.authentication.k8s.io describes them. The plugin is a program that gets its request in the variable
 * KUBERNETES_EXEC_INFO and prints an ExecCredential. Its error messages, and its questions to the user, go to the terminal directly.
 */

const versions = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'] as const

const pluginFields = z.object({
  apiVersion: z.enum(versions),
  command: z.string().min(1),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({ name: z.string(), value: z.string() })).nullish(),
  installHint: z.string().nullish(),
  provideClusterInfo: z.boolean().nullish(),
  interactiveMode: z.enum(['Never', 'IfAvailable', 'Always']).nullish(),
})
type Plugin = z.infer<typeof pluginFields>

const credentialFields = z.object({
  apiVersion: z.string(),
  kind: z.literal('ExecCredential'),
  status: z
    .object({
      token: z.string().optional(),
      clientCertificateData: z.string().optional(),
      clientKeyData: z.string().optional(),
      expirationTimestamp: z.iso.datetime({ offset: true }).nullish(),
    })
    .refine((status) => !status.clientCertificateData === !status.clientKeyData, {
      error: 'a certificate without its key, or a key without its certificate',
    })
    .refine((status) => status.token || status.clientCertificateData, {
      error: 'neither a token nor a certificate',
    }),
})

export interface Credential {
  readonly token: string | undefined
  readonly clientCertificate: { readonly cert: string; readonly key: string } | undefined
  /** Infinity if the plugin names no expiry. */
  readonly expiresMs: number
}

/** A function that runs the kubeconfig's plugin once. */
export function credentialPlugin(
  { cluster, user }: Context,
  isTerminal = isatty(0),
): () => Promise<Credential> {
  const parsed = pluginFields.safeParse(user.exec)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw new UserError(
      `the kubeconfig's exec.${issue?.path.join('.')} cannot be used: ${issue?.message}; ${versions.join(' and ')} are supported`,
    )
  }
  const plugin = parsed.data
  const mode = plugin.interactiveMode ?? (plugin.apiVersion.endsWith('/v1') ? undefined : 'IfAvailable')
  if (mode === undefined)
    throw new UserError(
      `the kubeconfig's exec has no interactiveMode: write Never, IfAvailable or Always, as ${plugin.apiVersion} asks for`,
    )
  if (mode === 'Always' && !isTerminal)
    throw new UserError(`the credential plugin ${plugin.command} asks questions: run this in a terminal`)
  const isInteractive = isTerminal && mode !== 'Never'
  const request = {
    apiVersion: plugin.apiVersion,
    kind: 'ExecCredential',
    spec: {
      interactive: isInteractive,
      ...(plugin.provideClusterInfo ? { cluster: clusterInfo(cluster) } : {}),
    },
  }
  return async () => parseCredential(plugin, await run(plugin, JSON.stringify(request), isInteractive))
}

function run({ command, args, env, installHint }: Plugin, request: string, isInteractive: boolean) {
  const own = Object.fromEntries((env ?? []).map(({ name, value }) => [name, value]))
  return new Promise<string>((resolve, reject) => {
    const child = spawn(command, args ?? [], {
      stdio: [isInteractive ? 'inherit' : 'ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...own, KUBERNETES_EXEC_INFO: request },
    })
    let answer = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      answer += text
    })
    child.on('error', ({ message }) => {
      const hint = installHint ? `\n${installHint}` : ''
      reject(new UserError(`the kubeconfig's credential plugin ${command} does not run: ${message}${hint}`))
    })
    child.on('close', (code, signal) => {
      if (code === 0) resolve(answer)
      else reject(new UserError(`the credential plugin ${command} failed with ${signal ?? `code ${code}`}`))
    })
  })
}

function parseCredential({ command, apiVersion }: Plugin, answer: string): Credential {
  const parsed = credentialFields.safeParse(jsonOf(answer))
  if (!parsed.success)
    throw new UserError(
      `the credential plugin ${command} answered no ExecCredential: ${parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')}`,
    )
  if (parsed.data.apiVersion !== apiVersion)
    throw new UserError(
      `the credential plugin ${command} answered ${parsed.data.apiVersion}, and the kubeconfig asks for ${apiVersion}`,
    )
  const { token, clientCertificateData: cert, clientKeyData: key, expirationTimestamp } = parsed.data.status
  return {
    token: token || undefined,
    clientCertificate: cert && key ? { cert, key } : undefined,
    expiresMs: expirationTimestamp ? Date.parse(expirationTimestamp) : Number.POSITIVE_INFINITY,
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
