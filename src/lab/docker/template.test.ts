import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { renderTemplate } from './template.ts'

const network = {
  Name: 'kind',
  IPAM: { Config: [{ Subnet: '172.18.0.0/16' }, { Subnet: 'fc00::/64' }] },
  Networks: { kind: { IPAddress: '172.18.0.7' } },
  Paused: false,
}

describe('docker’s templates', () => {
  const cases = [
    {
      name: 'a list, as the walkthrough asks for it',
      template: '{{range.IPAM.Config}}{{.Subnet}}, {{end}}',
      expect: '172.18.0.0/16, fc00::/64, ',
    },
    {
      name: 'a map is ranged over by its values',
      template: '{{range .Networks}}{{.IPAddress}}{{end}}',
      expect: '172.18.0.7',
    },
    { name: 'text around fields', template: 'name={{ .Name }}!', expect: 'name=kind!' },
    { name: 'json', template: '{{json .IPAM.Config}}', expect: JSON.stringify(network.IPAM.Config) },
    { name: 'if', template: '{{if .Paused}}paused{{end}}{{if .Name}}named{{end}}', expect: 'named' },
    {
      name: 'blocks in blocks',
      template: '{{range .IPAM.Config}}{{if .Subnet}}x{{end}}{{end}}',
      expect: 'xx',
    },
    { name: 'escapes of a new line', template: '{{.Name}}\\n', expect: 'kind\n' },
    { name: 'a field that is not there', template: '{{.Absent.Deeper}}', expect: '<no value>' },
  ]
  for (const { name, template, expect } of cases)
    test(name, () => assert.equal(renderTemplate(template, network), expect))

  const refused = [
    {
      name: 'what it does not know',
      template: '{{len .Networks}}',
      message: /says "len \.Networks"; known are/,
    },
    {
      name: 'a block of a form that it does not know, whose end is not one too many,',
      template: '{{range $name, $network := .Networks}}{{$name}}{{end}}',
      message: /says "range \$name, \$network := \.Networks"; known are/,
    },
    {
      name: 'a block without its end',
      template: '{{range .Networks}}x',
      message: /no \{\{end\}\} for "range \.Networks"/,
    },
    { name: 'an end without its block', template: 'x{{end}}', message: /an \{\{end\}\} too many/ },
  ]
  for (const { name, template, message } of refused)
    test(`${name} is refused`, () => assert.throws(() => renderTemplate(template, network), message))
})
