/**
 * Puts the location-box editor on the node: its widget `boxes` holds the JSON text (docs/boxes.md), and the text is the
 * only truth. The schema stays plain text, so the node works the same without this page.
 */

import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"
import { BoxesEditor } from "./boxes_editor.js"
import { chosenFile, facesIn, fileURL, frameOf, isConnected, photoOf } from "./boxes_graph.js"

const NODE = "RealisID_LocationBoxes"
const WIDGET = "REALISID_BOXES"
const HIDDEN = "RealisID backdrop hidden"
/** The node's first size, and the least height of the editor in it. */
const FIRST_SIZE = [430, 680]
const LEAST_HEIGHT = 400
const SAME_SHAPE = 0.02

/** Every editor on the page, told when something round it may have changed. */
const bindings = new Set()
let lastPicture = null

class Binding {
  constructor(node, name) {
    this.node = node
    this.executed = {}
    this.editor = new BoxesEditor(frameOf(node), {
      changed: (text) => this.changed(text),
      facesOfPhoto: () => this.facesOfPhoto(),
      toggleBackdrop: () => this.toggleBackdrop(),
    })
    this.widget = node.addDOMWidget(name, WIDGET, this.editor.element, {
      getValue: () => this.editor.text,
      setValue: (text) => (this.editor.text = typeof text === "string" ? text : JSON.stringify(text ?? "")),
      getMinHeight: () => LEAST_HEIGHT,
      hideOnZoom: false,
    })
    this.follow()
    bindings.add(this)
  }

  /** Keep up with the node: its size widgets, its connections, its runs, its end. */
  follow() {
    const { node } = this
    chain(node, "onConnectionsChange", () => {
      this.executed = {}
      if (this.editor.showsProposal && !isConnected(node, "bboxes")) this.editor.propose("")
      queueMicrotask(() => this.refresh())
    })
    chain(node, "onExecuted", (output) => this.ran(output))
    chain(node, "onRemoved", () => bindings.delete(this))
    chain(node, "onAdded", () => {
      bindings.add(this)
      this.refresh()
      requestAnimationFrame(() => requestAnimationFrame(() => this.takePlace()))
    })
    chain(node, "onConfigure", () => this.refresh())
    for (const side of ["width", "height"]) {
      const widget = node.widgets?.find((other) => other.name === side)
      if (widget) chain(widget, "callback", () => this.refresh())
    }
    this.editor.view.backdrop.addEventListener("load", () => this.checkShape())
    this.editor.view.backdrop.addEventListener("error", () => this.editor.view.showBackdrop(""))
    forwardToCanvas(this.editor.element)
  }

  /**
   * Nodes 2.0 keeps a node's frame when the graph is loaded again (undo does that) and would go on showing the editor
   * of the node that was.
   */
  takePlace() {
    const { element } = this.editor
    if (element.isConnected || this.node.graph !== app.canvas?.graph) return
    document.querySelector(`[data-node-id="${this.node.id}"] .realisid-boxes`)?.replaceWith(element)
  }

  /** One step for the graph's own undo, whatever else it is watching. */
  changed(text) {
    app.canvas?.emitBeforeChange?.()
    this.widget.callback?.(text)
    app.canvas?.emitAfterChange?.()
    this.node.graph?.setDirtyCanvas?.(true, false)
  }

  refresh() {
    this.editor.setFrame(frameOf(this.node))
    this.file = photoOf(this.node, this.executed)
    const hidden = Boolean(this.node.properties?.[HIDDEN])
    const shown = hidden ? null : (this.file ?? lastPicture)
    const toggle = this.editor.view.backdropToggle
    toggle.disabled = !this.file && !lastPicture
    toggle.setAttribute("aria-pressed", Boolean(shown))
    this.editor.view.showBackdrop(shown ? fileURL(shown) : "")
    this.checkShape()
  }

  /** The last generated picture is shown only where it has the frame's shape: any other one would mislead. */
  checkShape() {
    const { backdrop } = this.editor.view
    const { width, height } = this.editor.state.frame
    const shape = (backdrop.naturalWidth / backdrop.naturalHeight) * (height / width)
    backdrop.style.visibility = this.file || Math.abs(shape - 1) < SAME_SHAPE ? "" : "hidden"
  }

  toggleBackdrop() {
    this.node.properties ??= {}
    this.node.properties[HIDDEN] = !this.node.properties[HIDDEN]
    this.refresh()
  }

  ran(output) {
    const boxes = output?.realisid_seed_boxes?.[0] ?? ""
    this.executed = { boxes, background: output?.realisid_background?.[0], chosen: chosenFile(this.node) }
    const { state, text, showsProposal } = this.editor
    const drawn = text && (state.boxes.length || state.error)
    if (!drawn && (boxes || showsProposal)) this.editor.propose(boxes)
    this.refresh()
  }

  async facesOfPhoto() {
    if (this.executed.boxes) return this.executed.boxes
    if (isConnected(this.node, "bboxes")) throw new Error("Run the graph once: the connected boxes are known after that.")
    const file = photoOf(this.node, this.executed)
    if (file) return facesIn(file, this.editor.state.frame)
    if (isConnected(this.node, "background")) {
      throw new Error("Run the graph once: the connected background is known after that.")
    }
    if (lastPicture) return facesIn(lastPicture, this.editor.state.frame)
    throw new Error("There is no photo yet. Connect one to background, for example with Load Image.")
  }
}

/** Call `also` after the node's own `name`, with its arguments. */
function chain(target, name, also) {
  const before = target[name]
  target[name] = function (...values) {
    const result = before?.apply(this, values)
    also(...values)
    return result
  }
}

/** The wheel and the middle button belong to the canvas, also over the editor; Nodes 2.0 sees to that itself. */
function forwardToCanvas(root) {
  const classic = () => !root.closest("[data-node-id]")
  root.addEventListener("wheel", (event) => {
    if (!classic()) return
    event.preventDefault()
    app.canvas.processMouseWheel(event)
  }, { passive: false })
  const forwarded = { pointerdown: "processMouseDown", pointermove: "processMouseMove", pointerup: "processMouseUp" }
  for (const [type, method] of Object.entries(forwarded)) {
    root.addEventListener(type, (event) => {
      const middle = type === "pointermove" ? event.buttons & 4 : event.button === 1
      if (middle && classic()) app.canvas[method](event)
    })
  }
}

function refreshAll() {
  for (const binding of bindings) binding.refresh()
}

app.registerExtension({
  name: "RealisID.LocationBoxes",

  addCustomNodeDefs(definitions) {
    const boxes = definitions[NODE]?.input?.required?.boxes
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
    const style = document.createElement("link")
    style.rel = "stylesheet"
    style.href = new URL("boxes.css", import.meta.url)
    document.head.append(style)
    api.addEventListener("graphChanged", refreshAll)
    api.addEventListener("executed", ({ detail }) => {
      lastPicture = detail?.output?.images?.findLast?.((file) => file.type === "output" || file.type === "temp") ?? lastPicture
      refreshAll()
    })
  },

  afterConfigureGraph: refreshAll,
})
