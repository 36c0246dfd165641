/**
 * Graphs from before people were counted from 1. `index`, counted from 0, became another input, counted from 1; it is
 * still there, hidden, for graphs in the API form and for whatever is connected to it.
 *
 * `before`: the widgets as they were, in their order; `now`: the input that took over; `value`: what it is for an index;
 * `linked`: what it is where a node is connected to `index`, which then counts.
 */
const RENUMBERED = {
  RealisID_Person: {
    before: ["index", "local_strength", "global_strength"],
    now: "box",
    value: (index) => String(index + 1),
    linked: "1",
  },
  RealisID_DetectFaces: {
    before: ["detector", "threshold", "order", "index", "maximum", "margin"],
    now: "face",
    value: (index) => Math.max(index + 1, 0),
    linked: 0,
  },
}
const FORMER = "index"
/** In a node's properties: it was saved by a version that counts from 1. */
export const MARK = "RealisID counts from"

/** What became of the numbering of nodes of this type, if their definition (the server's) has the new input; or undefined. */
export function renumbering({ name, input }) {
  const change = RENUMBERED[name]
  return change && (change.now in { ...input?.required, ...input?.optional }) ? change : undefined
}

/**
 * A saved node as this version would have saved it; the same object if it is not an old one.
 *
 * @param {object} saved as graphs hold it
 * @param {[string, unknown][]} widgets names and defaults of the widgets that are saved today, in their order
 */
export function migrated(saved, change, widgets) {
  const { before, now } = change
  const named = saved.widgets_values_named
  const values = saved.widgets_values
  const old =
    Array.isArray(values) && values.length === before.length && typeof values[before.indexOf(FORMER)] === "number"
  if (!old || saved.properties?.[MARK] || (named && now in named)) return saved
  const found = Object.fromEntries(before.map((name, at) => [name, values[at]]))
  found[now] = isLinked(saved) ? change.linked : change.value(found[FORMER])
  delete found[FORMER]
  const result = { ...saved, widgets_values: widgets.map(([name, normal]) => (name in found ? found[name] : normal)) }
  if (named) result.widgets_values_named = { ...named, ...found, [FORMER]: Object.fromEntries(widgets)[FORMER] }
  return result
}

/** Teach the nodes of a type to read what was saved before. */
export function readOldGraphs(nodeType, change) {
  const { configure } = nodeType.prototype
  nodeType.prototype.configure = function (saved) {
    const widgets = (this.widgets ?? []).filter((widget) => widget.serialize !== false)
    return configure.call(this, migrated(saved, change, widgets.map(({ name, value }) => [name, value])))
  }
}

/** Mark a node that was made just now, and let a value that is written to `index` (an API graph is opened) count from 1. */
export function countFromOne(node, change) {
  node.properties[MARK] = 1
  const former = formerOf(node)
  const widget = node.widgets?.find((other) => other.name === change.now)
  if (!former || !widget) return
  hideFormer(node)
  const { onConnectionsChange } = node
  node.onConnectionsChange = function (...values) {
    onConnectionsChange?.apply(this, values)
    queueMicrotask(() => hideFormer(this))
  }
  const unused = former.value
  const { callback } = former
  former.callback = function (value, ...rest) {
    if (value !== unused && !isLinked(node)) {
      widget.value = change.value(value)
      former.value = unused
    }
    return callback?.call(this, former.value, ...rest)
  }
}

const formerOf = (node) => node.widgets?.find((widget) => widget.name === FORMER)
const isLinked = (node) => node.inputs?.some((input) => input.name === FORMER && input.link != null)

/** `index` is shown only where something is connected to it. */
export function hideFormer(node) {
  const former = formerOf(node)
  if (!former) return
  const hidden = !isLinked(node)
  if (former.options) former.options.hidden = hidden
  former.hidden = hidden
}
