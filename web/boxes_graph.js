/** What the editor learns from the graph round its node: the picture's size and the photo behind the boxes. */

import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"
import { t } from "./strings.js"

const DEFAULT_SIDE = 1024
const PASS_THROUGH = 32
const MANY = 64

/** These pass their number on as it stands in the widget of this name; what others give is known after a run. */
const GIVERS = { PrimitiveNode: "value", PrimitiveInt: "value", RealisID_LocationBoxes: null }

/**
 * The frame: the node's width and height, or those of what is connected to them. `known` is false where a connected size
 * cannot be told before a run.
 *
 * @param {{width: number, height: number}?} ran the sizes that the last run had, where they still hold
 */
export function frameOf(node, ran) {
  const [width, height] = ["width", "height"].map((name) => sideOf(node, name, ran?.[name]))
  return { width: width.side, height: height.side, known: width.known && height.known }
}

function sideOf(node, name, ran) {
  const own = node.widgets?.find((widget) => widget.name === name)?.value
  if (!isConnected(node, name)) return { side: sideFrom([own]), known: true }
  const origin = originOf(node, name)
  const given = origin && origin.type in GIVERS && !isConnected(origin, name)
  const shown = given ? origin.widgets?.find((widget) => widget.name === (GIVERS[origin.type] ?? name))?.value : undefined
  const promoted = promotedWidgets(node, name)?.filter(({ fed }) => !fed).map(({ widget }) => widget.value) ?? []
  const set = shown ?? (new Set(promoted).size === 1 ? promoted[0] : undefined)
  return { side: sideFrom([set, ran, own]), known: (set ?? ran) !== undefined }
}

const sideFrom = (values) => values.map(Number).find((side) => side >= 1) ?? DEFAULT_SIDE

/**
 * A short mark of all that is set on the nodes that `names` of `node` come from: while it is the same, so is what they
 * give.
 */
export function settingsBefore(node, names) {
  const seen = new Map()
  const waiting = names.map((name) => originOf(node, name))
  while (waiting.length && seen.size < MANY) {
    const origin = waiting.pop()
    if (!origin || seen.has(origin)) continue
    const set = origin.widgets?.filter((widget) => widget.serialize !== false && widget.options?.serialize !== false)
    seen.set(origin, `${origin.id} ${JSON.stringify(set?.map((widget) => widget.value) ?? [])}`)
    waiting.push(...(origin.inputs ?? []).map((slot) => originOf(origin, slot.name)))
  }
  const text = [...seen.values()].join("\n")
  return [...text].reduce((mark, letter) => (Math.imul(mark, 31) + letter.codePointAt(0)) | 0, seen.size)
}

/** The node that feeds the input `name`, reroutes left out; undefined where nothing does, or only from outside a subgraph. */
export function originOf(node, name) {
  let input = node.inputs?.find((slot) => slot.name === name)
  for (let steps = 0; input?.link != null && steps < PASS_THROUGH; steps++) {
    const graph = node.graph ?? app.graph
    const link = graph?.getLink?.(input.link) ?? graph?.links?.[input.link]
    node = link && graph.getNodeById(link.origin_id)
    if (!node || node.type !== "Reroute") return node ?? undefined
    input = node.inputs?.[0]
  }
  return undefined
}

/**
 * Where the input `name` comes from the subgraph that `node` is in, for each node of the subgraph: that node (`host`),
 * its `widget` for it, and whether a wire comes in there (`fed`). Null where the input comes from elsewhere.
 */
export function promotedWidgets(node, name) {
  const { graph } = node
  const link = graph?.getLink?.(node.inputs?.find((slot) => slot.name === name)?.link)
  const input = link && link.origin_id === graph.inputNode?.id && graph.inputs[link.origin_slot]
  if (!input) return null
  const root = graph.rootGraph
  const graphs = [root, ...(root.subgraphs?.values() ?? [])]
  const hosts = graphs.flatMap((one) => one.nodes).filter((other) => other.subgraph === graph)
  return hosts.flatMap((host) => {
    const widget = host.widgets?.find((other) => other.name === input.name)
    return widget ? [{ host, widget, fed: isConnected(host, input.name) }] : []
  })
}

export const isConnected = (node, name) => node.inputs?.find((slot) => slot.name === name)?.link != null

/** The name of the file that the connected image node holds, as its widget has it; undefined where it has none. */
export function chosenFile(node) {
  const chosen = originOf(node, "background")?.widgets?.find((widget) => widget.name === "image")?.value
  return typeof chosen === "string" && chosen ? chosen : undefined
}

/**
 * The photo behind the boxes: what the last run had, unless another file was chosen since; else the chosen file, else
 * what the connected node last made. `{filename, subfolder, type}`; null where there is none.
 *
 * @param {{background: object?, chosen: string?}} executed what the last run had, and what was chosen then
 */
export function photoOf(node, executed) {
  const chosen = chosenFile(node)
  if (executed.background && executed.chosen === chosen) return executed.background
  if (chosen) return annotatedFile(chosen)
  const origin = originOf(node, "background")
  return executed.background ?? (origin && outputOf(origin)) ?? null
}

/** `some/folder/name.png [output]`, as image nodes write the file they load. */
function annotatedFile(text) {
  const [, path, type] = text.match(/^(.*?)(?: \[(input|output|temp)\])?$/)
  const cut = path.lastIndexOf("/") + 1
  return { filename: path.slice(cut), subfolder: path.slice(0, Math.max(cut - 1, 0)), type: type ?? "input" }
}

function outputOf(node) {
  const graphId = node.graph && node.graph !== app.graph ? `${node.graph.id}:` : ""
  return app.nodeOutputs?.[`${graphId}${node.id}`]?.images?.[0]
}

export function fileURL({ filename, subfolder = "", type = "output" }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`)
}

/** Boxes on the faces in `file`, as text; rejects with the server's sentence where there are none. */
export async function facesIn(file, frame) {
  const response = await api.fetchApi("/realisid/faces", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...file, ...frame }),
  })
  const answer = await response.json().catch(() => ({ error: t("The server answered {status}.", response) }))
  if (!response.ok) throw new Error(answer.error)
  return answer.boxes
}
