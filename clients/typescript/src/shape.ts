/**
 * The fields of every word of the server's, in the order of the binary dialect, which reads and writes
 * by this table.
 *
 * A field is a sign for its kind, its name, and what it refers to. Those behind the bar are optional.
 * A dot in a name is an object that only JSON has.
 *
 * ```text
 *   # integer   $ text   ? true or false, in binary a bit alone   ! payload: data or b64
 *   % names and values   ~ JSON   = one of these names   . a part   * a list: of a part, # or $
 * ```
 *
 * @module
 */

/** One field. */
export interface Field {
  readonly kind: string;
  readonly name: string;
  /** The object that holds it in JSON, if it is not the word itself. */
  readonly holder: string | undefined;
  /** What a part or a list consists of, or which names there are. */
  readonly of: string;
  readonly isOptional: boolean;
}

const ITEM = "#o #ts $pub.user $pub.conn !data | $key #pub.pseq %tags";
const SET = "#t $ns #ver #n #digest";

/** Words and parts by their names. A word begins with its number in binary. */
const SHAPES: Readonly<Record<string, string>> = {
  welcome:
    "41 $conn $node $user #ping_ms #slack_ms #time_ms .limits:limits *subs:answer | #expires_ms $ticket ?resumed",
  ok: "42 | #expires_ms",
  subbed: "43 #s .policy:policy | #t $epoch #offset $pos =recovered:recovered #replay_to",
  pubbed: "44 $epoch #offset =level:level | ?dup",
  err: "45 #code $text | #retry_ms",
  page: "46 #t $epoch #start #end *items:item | ?complete",
  members: `47 ${SET} *items:entry | #users $next`,
  topic: "81 #t $topic *s:# $epoch #offset",
  msg: `82 #t ${ITEM}`,
  untopic: "83 #t",
  pos: "84 | #t #o #s $pos",
  gap: "85 #t #from #to =cause:cause =repair:repair",
  conflated: "86 #t #n #upto",
  reset: "87 =cause:cause | #t $epoch #offset #s $pos",
  unsubbed: "88 #s #code | #retry_ms",
  token_expiring: "89 #in_ms",
  goaway: "8a #deadline_ms #spread_ms | $url",
  ping: "8b #t",
  warn: "8c #code $text | $cmd",
  closing: "8d #code $reason | #retry_ms #spread_ms $url",
  state: `8e ${SET} *set:entry *del:$ | #users`,
  answer: "| .subbed:subbed .err:err",
  entry: "$k $user #ver | ~v",
  item: ITEM,
  limits:
    "#message_bytes #topic_bytes #topic_levels #subscriptions #backlog_bytes #publish_per_s #publish_burst #unanswered #history_items",
  policy: "=mode:mode | #max_bytes #max_msgs",
};

const parsed = new Map<string, readonly Field[]>();

/** The fields of a word or part of the server's. */
export function fieldsOf(name: string): readonly Field[] {
  let fields = parsed.get(name);
  if (fields === undefined) {
    fields = parse(SHAPES[name] ?? "");
    parsed.set(name, fields);
  }
  return fields;
}

/** The number of a word in binary, or `undefined` if there is no such word. */
export function opOf(name: string): number | undefined {
  if (!Object.hasOwn(SHAPES, name)) return undefined;
  const op = Number.parseInt(SHAPES[name] ?? "", 16);
  return op > 0 ? op : undefined;
}

/** The names of all words and parts. */
export function names(): readonly string[] {
  return Object.keys(SHAPES);
}

/** Reads what the table says of a word. */
export function parse(shape: string): readonly Field[] {
  let isOptional = false;
  return shape.split(" ").flatMap((field) => {
    isOptional ||= field === "|";
    const [, kind, path, of = ""] = /^(\W)([\w.]+):?(.*)/.exec(field) ?? [];
    if (kind === undefined || path === undefined) return [];
    const [holder, name] = path.split(".");
    return name === undefined
      ? [{ kind, name: path, holder: undefined, of, isOptional }]
      : [{ kind, name, holder, of, isOptional }];
  });
}
