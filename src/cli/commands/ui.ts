import { once } from 'node:events'
import type { Server } from 'node:net'
import { type Command, Option } from 'commander'
import { print } from '../output.ts'
import { UserError } from '../user-error.ts'

const help = `
The page shows policies, the way of each pod's packets, the ports of each egress IP, and a timeline of failovers. The command reads
them with the rights of your kubeconfig, which must allow to list and watch the kinds of Sallyport, to list
Events and the pods of kube-system, and to create pods/exec there.
It changes nothing. Only this machine can open the page, and only with the token in the address. To end it, press ctrl-C.`

export function addUi(program: Command): void {
  program
    .command('ui')
    .description('show the cluster in a page for your browser, until you stop it')
    .option('--port <number>', 'the port on 127.0.0.1; 0 chooses a free one', '0')
    .option('--kubeconfig <file>', 'the kubeconfig; by default, the one that kubectl uses')
    .option('--open', 'open the page in the default browser')
    .addOption(new Option('--handed', 'listen on the socket that the parent process sends').hideHelp())
    .addHelpText('after', help)
    .action(showUi)
}

interface UiOptions {
  readonly port: string
  readonly kubeconfig?: string
  readonly open?: boolean
  readonly handed?: boolean
}

async function showUi({ port, kubeconfig, open, handed }: UiOptions): Promise<void> {
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    throw new UserError(`--port: ${port} is not a port: write a number from 0 to 65535`, 2)
  const { readPage } = await import('../ui/page-files.ts')
  const { serveUi } = await import('../ui/server.ts')
  const { LiveCluster } = await import('../ui/live.ts')
  const { withCluster } = await import('../cluster.ts')
  const page = readPage()
  await withCluster(
    async (client) => {
      const stopped = new AbortController()
      const stop = (): void => stopped.abort()
      process.once('SIGINT', stop).once('SIGTERM', stop).once('SIGHUP', stop)
      if (handed) process.once('disconnect', stop)
      const live = new LiveCluster(client)
      const { server, url } = await serveUi(page, live, handed ? await socketOfParent() : Number(port))
      print(`The page is at ${url}\nTo end it, press ctrl-C.`)
      if (open) await openBrowser(url)
      await live.run(stopped.signal)
      server.close()
      server.closeAllConnections()
      if (process.connected) process.disconnect()
    },
    kubeconfig === undefined ? [] : [kubeconfig],
  )
}

/** `sallyport lab demo` runs this command in the lab, and makes the socket outside of it, where the browser is. */
async function socketOfParent(): Promise<Server> {
  if (process.send === undefined)
    throw new UserError('--handed needs a parent process that sends a socket', 2)
  const [, socket] = (await once(process, 'message')) as [unknown, Server]
  return socket
}

async function openBrowser(url: string): Promise<void> {
  const { spawn } = await import('node:child_process')
  const command = process.platform === 'darwin' ? 'open' : 'xdg-open'
  const child = spawn(command, [url], { stdio: 'ignore', detached: true })
  child.on('error', () => process.stderr.write(`${command} does not run: open the address yourself\n`))
  child.unref()
}
