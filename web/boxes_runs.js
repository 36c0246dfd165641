/** What runs of each graph have made: which picture is the result of which boxes. */

import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"

const BOXES_NODE = "RealisID_LocationBoxes"
/** Pictures that our own nodes show are of references, crops and boxes, not results. */
const OURS = /^RealisID_/
/** The output of the boxes themselves; the others (preview, mask, sizes) would show the boxes, or know nothing of them. */
const FACE_BOXES = 0
const KEPT = 16

/** By the graph's id: its last prompt and the pictures that came of it, by the id of the node that made them. */
const runs = new Map()
/** The prompts under way, by their id. */
const prompts = new Map()

/** Take note of a message `executed` of the server. Resolves when it is known what it belongs to. */
export async function noteExecuted({ prompt_id: id, node, output }) {
  const picture = output?.images?.findLast?.((file) => file.type === "output" || file.type === "temp")
  if (!picture || !id) return
  if (!prompts.has(id)) keep(prompts, id, promptOf(id))
  const queued = await prompts.get(id)
  if (!queued?.graph) return
  if (runs.get(queued.graph)?.id !== id) keep(runs, queued.graph, { id, nodes: queued.nodes, pictures: new Map() })
  const { pictures } = runs.get(queued.graph)
  pictures.delete(String(node))
  pictures.set(String(node), picture)
}

/** The newest picture of this graph that was made with the boxes of `node`, or null. */
export function resultOf(node) {
  const root = rootOf(node)
  const run = root && runs.get(root.id)
  if (!run) return null
  const own = Object.keys(run.nodes).filter((id) => run.nodes[id].class_type === BOXES_NODE && isAt(root, id, node))
  const results = [...run.pictures.keys()].filter((id) => {
    const made = run.nodes[id]
    return made && !OURS.test(made.class_type) && comesFrom(run.nodes, id, own)
  })
  return results.length ? run.pictures.get(results.at(-1)) : null
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

/** `{graph, nodes}` of a prompt: the id of the graph it was made from, and its nodes as the server has them. */
async function promptOf(id) {
  const answered = async (path) => (await api.fetchApi(path)).json()
  const queue = await answered("/queue").catch(() => ({}))
  const waiting = [...(queue.queue_running ?? []), ...(queue.queue_pending ?? [])].find((entry) => entry[1] === id)
  const entry = waiting ?? (await answered(`/history/${id}`).catch(() => ({})))[id]?.prompt
  return entry && { graph: entry[3]?.extra_pnginfo?.workflow?.id, nodes: entry[2] }
}

function keep(map, key, value) {
  map.delete(key)
  map.set(key, value)
  if (map.size > KEPT) map.delete(map.keys().next().value)
}
