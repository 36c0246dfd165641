/**
 * Combine Persons shows as many sockets as it needs: those up to the last one that is connected, and a free one. The
 * schema has them all, always, so that graphs of every version and host mean the same.
 */

import { app } from "../../scripts/app.js"

const NODE = "RealisID_CombinePersons"
const KEPT = ["shape", "label", "localized_name", "tooltip"]
/** node → its sockets as the schema has them */
const whole = new WeakMap()

/** Take away what is free beyond the first free socket after the last that is connected; bring back what is lacking. */
function grow(node) {
  if (!whole.has(node)) whole.set(node, node.inputs.map((socket) => ({ ...socket })))
  const every = whole.get(node)
  const wanted = Math.min(every.length, node.inputs.findLastIndex(({ link }) => link != null) + 2)
  while (node.inputs.length > wanted) node.removeInput(node.inputs.length - 1)
  for (const socket of every.slice(node.inputs.length, wanted)) {
    const kept = KEPT.filter((key) => socket[key] !== undefined).map((key) => [key, socket[key]])
    node.addInput(socket.name, socket.type, Object.fromEntries(kept))
  }
  node.setSize([node.size[0], node.computeSize()[1]])
}

app.registerExtension({
  name: "RealisID.CombinePersons",

  beforeRegisterNodeDef(nodeType, { name }) {
    if (name !== NODE) return
    const { onConnectionsChange, onAdded } = nodeType.prototype
    nodeType.prototype.onAdded = function (...given) {
      onAdded?.apply(this, given)
      if (!app.configuringGraph) grow(this)
    }
    nodeType.prototype.onConnectionsChange = function (...given) {
      onConnectionsChange?.apply(this, given)
      if (!app.configuringGraph && whole.has(this)) grow(this)
    }
  },

  afterConfigureGraph() {
    const root = app.rootGraph ?? app.graph
    for (const graph of [root, ...(root.subgraphs?.values() ?? [])]) {
      for (const node of graph.nodes) if (node.type === NODE) grow(node)
    }
  },
})
