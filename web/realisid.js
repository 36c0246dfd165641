/**
 * Puts the location-box editor on the node: its widget `boxes` holds the JSON text (docs/boxes.md), and the text is the
 * only truth. The schema stays plain text, so the node works the same without this page.
 */

import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"
import { Binding, refreshAll } from "./boxes_binding.js"
import { colourSockets, noteSockets } from "./colours.js"
import { noteRun } from "./boxes_runs.js"
import { countFromOne, hideFormer, readOldGraphs, renumbering } from "./migrate.js"
import { setLanguage } from "./strings.js"

const NODE = "RealisID_LocationBoxes"
const WIDGET = "REALISID_BOXES"
/** The node's first size. */
const FIRST_SIZE = [430, 680]

function addStyle(file) {
  const style = document.createElement("link")
  style.rel = "stylesheet"
  style.href = new URL(file, import.meta.url)
  document.head.append(style)
}

app.registerExtension({
  name: "RealisID.Numbering",

  beforeRegisterNodeDef(nodeType, definition) {
    const change = renumbering(definition)
    if (change) readOldGraphs(nodeType, change)
  },

  nodeCreated(node) {
    const change = node.constructor.nodeData && renumbering(node.constructor.nodeData)
    if (change) countFromOne(node, change)
  },

  /** Newer pages make the links when all nodes are there. */
  afterConfigureGraph() {
    const root = app.rootGraph ?? app.graph
    for (const graph of [root, ...(root.subgraphs?.values() ?? [])]) {
      for (const node of graph.nodes) {
        if (node.constructor.nodeData && renumbering(node.constructor.nodeData)) hideFormer(node)
      }
    }
  },
})

app.registerExtension({
  name: "RealisID.Sockets",

  beforeRegisterNodeDef(_, definition) {
    if (definition.name.startsWith("RealisID_")) noteSockets(definition)
  },

  setup() {
    addStyle("colours.css")
    colourSockets()
  },
})

app.registerExtension({
  name: "RealisID.LocationBoxes",

  init() {
    const { settings } = app.ui
    setLanguage(settings.getSettingValue("Comfy.Locale"))
    settings.addEventListener("Comfy.Locale.change", ({ detail }) => setLanguage(detail.value))
  },

  /** Here, not in addCustomNodeDefs: the page does not ask for those again when it loads the definitions anew. */
  beforeRegisterNodeDef(_, { name, input }) {
    const boxes = name === NODE && input?.required?.boxes
    if (boxes) boxes[1] = { ...boxes[1], widgetType: WIDGET }
  },

  getCustomWidgets() {
    return {
      [WIDGET](node, name, spec) {
        const binding = new Binding(node, name)
        binding.editor.text = spec[1]?.default ?? ""
        return { widget: binding.widget, minWidth: FIRST_SIZE[0], minHeight: FIRST_SIZE[1] }
      },
    }
  },

  setup() {
    addStyle("boxes.css")
    api.addEventListener("graphChanged", refreshAll)
    for (const end of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(end, ({ detail }) => noteRun(detail.prompt_id).then(refreshAll))
    }
  },

  afterConfigureGraph: refreshAll,
})
