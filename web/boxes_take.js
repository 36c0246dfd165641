/** Where a photo goes in the graph: into a Load Image node for the background, or for the Person from Photo of a box. */

import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"
import { originOf } from "./boxes_graph.js"
import { seated } from "./boxes_people.js"
import { t } from "./strings.js"

const LOADER = "LoadImage"
const PERSON = "RealisID_PersonFromPhoto"
const APART = 60

/** Put the photo behind the boxes of `node`. Returns what to say. */
export async function photoBehind(node, file) {
  const name = await uploaded(file)
  changing(() => show(node, "background", name))
  return t("{name} lies behind the boxes.", { name })
}

/** Make the photo that of the person in box `index` of `node`; a node for them is made where there is none. Returns what to say. */
export async function photoOfPerson(node, file, index, boxes) {
  const name = await uploaded(file)
  const there = personNodes(node).map((made) => {
    const box = String(made.widgets.find(isBox).value)
    return { made, box, number: Number(box) }
  })
  const person = seated(there, boxes).get(index)?.made
  changing(() => show(person ?? newPerson(node, index), "photo", name))
  const values = { name, number: index + 1 }
  return person ? t("{name} is the photo of person {number}.", values) : t("Made a node for person {number}, from {name}.", values)
}

const isBox = ({ name }) => name === "box"

/** The nodes that take a photo of a person into the boxes of `node`. */
function personNodes(node) {
  return node.graph.nodes.filter((other) => other.type === PERSON && originOf(other, "boxes") === node)
}

async function uploaded(file) {
  const body = new FormData()
  body.append("image", file)
  const answer = await api.fetchApi("/upload/image", { method: "POST", body })
  if (!answer.ok) throw new Error(t("The server did not take {name}: {status}.", { name: file.name, status: answer.status }))
  const { name, subfolder } = await answer.json()
  return subfolder ? `${subfolder}/${name}` : name
}

/** Let the node's `input` come from a Load Image node with the file `name`: the one that is connected, or a new one. */
function show(node, input, name) {
  let loader = originOf(node, input)
  if (loader?.type !== LOADER) {
    loader = LiteGraph.createNode(LOADER)
    loader.pos = [node.pos[0] - loader.size[0] - APART, node.pos[1]]
    node.graph.add(loader)
    connect(loader, 0, node, input)
  }
  const widget = loader.widgets.find((other) => other.name === "image")
  const { values } = widget.options
  if (Array.isArray(values) && !values.includes(name)) values.push(name)
  widget.value = name
  widget.callback?.(name)
}

/** A Person from Photo for box `index`, with the model and the people that the graph has. */
function newPerson(node, index) {
  const others = personNodes(node)
  const person = LiteGraph.createNode(PERSON)
  person.pos = [node.pos[0] + node.size[0] + 400, node.pos[1] + 320 * others.length]
  node.graph.add(person)
  person.widgets.find(isBox).value = String(index + 1)
  connect(node, 0, person, "boxes")
  const model = givers(node.graph, "REALISID_MODEL")
  if (model.length === 1) connect(model[0].node, model[0].slot, person, "realisid")
  joinLast(person, others)
  return person
}

/** The last of the people hands on to the new one, and the new one to where the last did. */
function joinLast(person, others) {
  const last = others.find((one) => !others.some((other) => originOf(other, "persons") === one))
  if (!last) return
  const { graph } = person
  const targets = (last.outputs[0].links ?? []).map((id) => graph.getLink?.(id) ?? graph.links[id])
  for (const { target_id: id, target_slot: slot } of targets.map((link) => ({ ...link }))) person.connect(0, graph.getNodeById(id), slot)
  connect(last, 0, person, "persons")
}

function givers(graph, type) {
  return graph.nodes.flatMap((node) => (node.outputs ?? []).flatMap((output, slot) => (output.type === type ? [{ node, slot }] : [])))
}

const connect = (from, slot, to, name) => from.connect(slot, to, to.inputs.findIndex((input) => input.name === name))

/** One step of the page's own undo. */
function changing(change) {
  app.canvas?.emitBeforeChange?.()
  change()
  app.canvas?.emitAfterChange?.()
  app.canvas?.setDirty(true, true)
}
