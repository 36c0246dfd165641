/** What runs of each graph have made: which picture is the result of which boxes, and who is in them. */

import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"

const BOXES_NODE = "RealisID_LocationBoxes"
/** Pictures that our own nodes show are of references, crops and boxes, not results. */
const OURS = /^RealisID_/
/** The output of the boxes themselves; the others (preview, mask, sizes) would show the boxes, or know nothing of them. */
const FACE_BOXES = 0
const KEPT = 16
/** As many runs of the server are looked through for earlier ones of a graph. */
const RECALLED = 32
/** The history has a run a moment after its end is told: how often, and after how many milliseconds, to look again. */
const TRIES = 20
const PAUSE = 150

/** By the graph's id, its last run: `{nodes, outputs}`, both by the nodes' ids in the prompt. */
const runs = new Map()

/**
 * Take note of a run that has ended, from the server's history, which tells the graph that it was of.
 * @param {string} id the prompt's
 */
export async function noteRun(id) {
  for (let tries = 0; tries < TRIES; tries++) {
    const entry = (await history(`/${id}`))[id]
    const graph = graphOf(entry)
    if (graph && !runs.has(graph)) await recall(graph, id)
    if (entry) return keepRun(graph, entry)
    await new Promise((resolve) => setTimeout(resolve, PAUSE))
  }
}

/** Take note of the runs of `graph` from before the page was loaded, but for run `id`, from the oldest on. */
async function recall(graph, id) {
  const entries = Object.entries(await history(`?max_items=${RECALLED}`))
  for (const [other, entry] of entries) if (other !== id && graphOf(entry) === graph) keepRun(graph, entry)
}

const history = (path) => api.fetchApi(`/history${path}`).then((response) => response.text()).then(parsed).catch(() => ({}))

/** JSON as Python writes it: one NaN in anybody's run must not hide all runs. */
const parsed = (text) => JSON.parse(text.replace(/(?<=[[:,] ?)(NaN|-?Infinity)(?=[,\]} ])/g, "null"))

const graphOf = (entry) => entry?.prompt?.[3]?.extra_pnginfo?.workflow?.id

function keepRun(graph, { prompt: [, , nodes], outputs }) {
  if (graph) keep(runs, graph, { nodes, outputs: { ...stillTrue(runs.get(graph), nodes), ...outputs } })
}

/** The picture of the graph's last run that was made with the boxes of `node`: a saved one, else a preview; or null. */
export function resultOf(node) {
  const root = rootOf(node)
  const run = root && runs.get(root.id)
  if (!run) return null
  const own = idsOf(run, node)
  const pictures = Object.entries(run.outputs).flatMap(([id, { images }]) => {
    const made = run.nodes[id]
    const picture = images?.findLast?.((file) => file.type === "output" || file.type === "temp")
    return picture && made && !OURS.test(made.class_type) && comesFrom(run.nodes, id, own) ? [picture] : []
  })
  return pictures.findLast((file) => file.type === "output") ?? pictures.at(-1) ?? null
}

/**
 * Who the graph's last run has put into the boxes of `node`: the `number` of their box then, its `box` as it was asked for
 * (number or name; undefined where it came by a wire), their `pose` as lines in thousandths of the box, and a picture of
 * their `face`, if a node has shown one.
 *
 * @returns {{number: number, box: string?, pose: number[][], face: object?}[]}
 */
export function personsOf(node) {
  const run = runs.get(rootOf(node)?.id)
  if (!run) return []
  const own = idsOf(run, node)
  return Object.entries(run.nodes).flatMap(([id, { inputs }]) => {
    const told = run.outputs[id]?.realisid_person?.[0]
    const [origin, output] = Array.isArray(inputs.boxes) ? inputs.boxes.map(String) : []
    if (!told || !own.includes(origin) || output !== String(FACE_BOXES)) return []
    const shows = [id, inputs.id_embedding?.[0]].find((other) => run.outputs[other]?.images?.length)
    const box = typeof inputs.box === "string" ? inputs.box : undefined
    return [{ ...told, box, face: run.outputs[shows]?.images[0] }]
  })
}

/** The ids of `node` in the prompt of `run`: several where its subgraph is used several times. */
function idsOf({ nodes }, node) {
  const root = rootOf(node)
  return Object.keys(nodes).filter((id) => nodes[id].class_type === BOXES_NODE && isAt(root, id, node))
}

/**
 * The outputs of a run before whose nodes, with all that they come from, are the same in `nodes`: the server leaves nodes
 * out whose results it still has.
 */
function stillTrue(before, nodes) {
  if (!before) return {}
  const known = new Map()
  const same = (id) => {
    if (known.has(id)) return known.get(id)
    known.set(id, true)
    const [now, then] = [nodes[id], before.nodes[id]].map((made) => made && [made.class_type, made.inputs])
    const origins = Object.values(now?.[1] ?? {}).filter(Array.isArray).map(([origin]) => String(origin))
    known.set(id, JSON.stringify(now) === JSON.stringify(then) && origins.every(same))
    return known.get(id)
  }
  return Object.fromEntries(Object.entries(before.outputs).filter(([id]) => nodes[id] && same(id)))
}

export const rootOf = (node) => node.graph?.rootGraph ?? (node.graph && (app.rootGraph ?? app.graph))

/** Whether `id`, as prompts have it ("7", or "12:7" in a subgraph's node 12), is `node`. */
function isAt(root, id, node) {
  const path = id.split(":")
  const last = path.pop()
  const graph = path.reduce((inside, step) => inside?.getNodeById(Number(step))?.subgraph, root)
  return graph === node.graph && last === String(node.id)
}

/** Whether node `id` of a prompt is made with the face boxes of one of `sources`. */
function comesFrom(nodes, id, sources, seen = new Set()) {
  if (seen.has(id)) return false
  seen.add(id)
  return Object.values(nodes[id]?.inputs ?? {}).some((value) => {
    if (!Array.isArray(value)) return false
    const [origin, output] = value.map(String)
    const own = sources.includes(origin)
    return own ? output === String(FACE_BOXES) : comesFrom(nodes, origin, sources, seen)
  })
}

function keep(map, key, value) {
  map.delete(key)
  map.set(key, value)
  if (map.size > KEPT) map.delete(map.keys().next().value)
}
