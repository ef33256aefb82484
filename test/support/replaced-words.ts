/**
 * Words that users do not read in our texts, and what we write instead. A pattern is narrow enough to leave the word's other
 * meanings alone: a process may hang, a program is attached.
 */
const replacedWords: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\b(nobody|somebody|anybody|everybody)\b/i, 'name the actor: the node, the gateway, the other CNI plugin'],
  [/\b(whoever|whomever|whosever)\b/i, 'name the actor'],
  [/(?:^|[.;:(] )Who (?:may|can|could|has|needs|wants|writes|sends|scans|reads)\b(?![^.]*\?)/, 'anyone who'],
  [/\bwhat no (?:policy|node|pod)\b/i, 'traffic that no policy selects'],
  [
    /\b(?:the other|the others|another|others|somebody)['’]s?(?= |\.|,|;|$)/i,
    'say whose: the other CNI plugin’s, another node’s',
  ],
  [/\b(?:ours|theirs)\b/i, 'name it: Sallyport’s programs, the other product’s objects'],
  [/\bprograms? (?:that )?h(?:ang|ung)s?\b|\bhangs? on (?:the|a|its|devices?)\b/i, 'attach, attached'],
  [
    /\b(?:is|are|was|were|be|been|have|has|had|not|being|as|it|they) heard\b|\bheard (?:again|of|from|that|everything|all)\b/i,
    'reachable; received',
  ],
  [/\bhears? (?:of|from|about|them|it|nothing|each)\b/i, 'receive; reach'],
  [/\b(?:take|takes|taken|took|taking) apart\b/i, 'delete, remove'],
  [/\b(?:by|of) (?:itself|themselves|himself)\b/i, 'by default; alone; automatically'],
  [/\b(?:silent|silence|silences)\b/i, 'unreachable; idle'],
  [/\bunwell\b|\b(?:is|are|was|were|been|be|all|not) well\b(?![ -]known)/i, 'healthy; ready'],
  [/\blook(?:s|ed|ing)? again\b/i, 'reconcile; check again'],
  [/\bcome-?backs?\b/i, 'return, recovery'],
  [/\bsuccessions?\b/i, 'takeover, order of gateways'],
  [/\bpatience\b/i, 'timeout'],
  [/\banew\b/i, 'again; list again; restart'],
  [/\bways? (?:in|out)\b/i, 'ingress; egress; route'],
  [/\b(?:at most|within|every|only|for) so (?:many|much|long|often)\b/i, 'name the limit'],
  [/\btells? of\b/i, 'report'],
  [/(?<!\bthere )\b(?:is|are) no (?:node|nodes|gateway|member|successor|pod|reason|key)\b/i, 'is not a …'],
  [
    /\btak(?:en|es?) for dead\b|\bdead (?:gateway|node)s?\b|\b(?:gateway|node)s? (?:that )?(?:is|are) dead\b/i,
    'unreachable',
  ],
  [/\bdistrust(?:s|ed)?\b/i, 'avoid; not eligible'],
  [/\bin another['’]s (?:place|name|stead)\b/i, 'as the successor'],
  [/\bto and fro\b/i, 'back and forth'],
  [/\bretire[sd]?\b/i, 'expire, reclaim, delete'],
  [/\bspeaks? again\b|\bspoken of\b/i, 'answer again; report'],
  [/\b(?:his|her) own\b/i, 'its own'],
  [/\bway\b[^.]{0,12}\bgoes wrong\b/i, 'fails'],
  [/\bpass(?:es|ed|ing)? (?:\w+ )?by\b/i, 'rules do not apply to packets; packets go through a device'],
  [/(?<!\b(?:in|the) )\bpast\b/i, 'rules do not apply to packets; without the stack'],
  [/\bpass(?:es|ed|ing)? (?:(?:the|its|their) (?:network )?stack|netfilter)\b/i, 'go through the stack'],
  [
    /\bset (?:it|them) up\b|\b(?:device|interface)s? [^.]{0,20}\bset up\b/i,
    'bring it up: ip link set dev IFACE up',
  ],
]

/** `"nobody": name the actor`, for every replaced word of a text. */
export function findReplaced(text: string): readonly string[] {
  return replacedWords.flatMap(([pattern, instead]) => {
    const found = pattern.exec(text)
    return found === null ? [] : [`"${found[0].trim()}": ${instead}`]
  })
}
