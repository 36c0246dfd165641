/** Ties one editor to its node: widget, size, connections, runs, the page's own undo. */

import { app } from "../../scripts/app.js"
import { BoxesEditor } from "./boxes_editor.js"
import { chosenFile, facesIn, fileURL, frameOf, isConnected, originOf, photoOf, promotedWidgets, settingsBefore } from "./boxes_graph.js"
import { personsOf, resultOf, rootOf } from "./boxes_runs.js"
import { photoBehind, photoOfPerson } from "./boxes_take.js"
import { showPromoted } from "./boxes_promoted.js"
import { t } from "./strings.js"

const WIDGET = "REALISID_BOXES"
const HIDDEN = "RealisID backdrop hidden"
const RAN = "RealisID size of the last run"
/** The least height of the editor in the node. */
const LEAST_HEIGHT = 400
const SAME_SHAPE = 0.02
const SIDES = ["width", "height"]
/** As many nodes' steps are kept for nodes that are made anew. */
const KEPT_EDITORS = 32

/** Every editor on the page, told when something round it may have changed. */
export const bindings = new Set()
/** The editor at each place of a graph, also of nodes that are gone: undo of the canvas makes all nodes anew. */
const places = new Map()

export class Binding {
  constructor(node, name) {
    this.node = node
    this.executed = {}
    this.editor = new BoxesEditor(frameOf(node), {
      changed: (text) => this.changed(text),
      facesOfPhoto: () => this.facesOfPhoto(),
      toggleBackdrop: () => this.toggleBackdrop(),
      pinched,
      takePhoto: (file, index) => this.takePhoto(file, index),
      setSize: (size) => this.setSize(size),
    })
    this.widget = node.addDOMWidget(name, WIDGET, this.editor.element, {
      getValue: () => this.editor.text,
      setValue: (text) => (this.editor.text = typeof text === "string" ? text : JSON.stringify(text ?? "")),
      getMinHeight: () => LEAST_HEIGHT,
      hideOnZoom: false,
      onDraw: (widget) => requestAnimationFrame(() => takeFrame(widget, this.editor.element)),
    })
    standFirm(this.widget)
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
    chain(node, "onConfigure", () => {
      this.continueSteps()
      this.refresh()
    })
    for (const side of ["width", "height"]) {
      const widget = node.widgets?.find((other) => other.name === side)
      if (widget) chain(widget, "callback", () => this.refresh())
    }
    this.editor.view.backdrop.addEventListener("load", () => this.checkShape())
    this.editor.view.backdrop.addEventListener("error", () => this.editor.view.showBackdrop(""))
    forwardToCanvas(this.editor.element)
  }

  /** Go on with the steps, and what the last run had, of the node that was in this place of the graph before. */
  continueSteps() {
    const { graph, id } = this.node
    if (!graph) return
    const place = [rootOf(this.node)?.id, graph.id, id].join()
    const before = places.get(place)
    if (before && before !== this) {
      this.executed = before.executed
      this.editor.state.continue(before.editor.state)
      this.editor.render()
    }
    places.delete(place)
    places.set(place, this)
    if (places.size > KEPT_EDITORS) places.delete(places.keys().next().value)
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
    this.continueSteps()
    app.canvas?.emitBeforeChange?.()
    this.widget.callback?.(text)
    app.canvas?.emitAfterChange?.()
    this.node.graph?.setDirtyCanvas?.(true, false)
  }

  refresh() {
    this.editor.setFrame(frameOf(this.node, this.ranSize()), this.sizeOrigin())
    this.showConnected()
    this.editor.showPersons(personsOf(this.node).map((person) => ({ ...person, face: person.face && fileURL(person.face) })))
    this.file = photoOf(this.node, this.executed)
    this.result = resultOf(this.node)
    const hidden = Boolean(this.node.properties?.[HIDDEN])
    const shown = hidden ? null : (this.file ?? this.result)
    const toggle = this.editor.view.backdropToggle
    toggle.disabled = !this.file && !this.result
    toggle.setAttribute("aria-pressed", Boolean(shown))
    this.editor.view.showBackdrop(shown ? fileURL(shown) : "")
    this.checkShape()
  }

  /**
   * The size of the last run, if nothing that it comes from was changed since. Kept in the node, because a run that the
   * server answers from its cache tells nothing of nodes in the midst of the graph.
   */
  ranSize() {
    const { width, height, before } = this.node.properties?.[RAN] ?? {}
    return before === settingsBefore(this.node, SIDES) ? { width, height } : null
  }

  noteSize([width, height] = []) {
    const linked = SIDES.some((side) => isConnected(this.node, side))
    if (width && linked) this.node.properties[RAN] = { width, height, before: settingsBefore(this.node, SIDES) }
  }

  /** The title of the node that the size comes from. */
  sizeOrigin() {
    return SIDES.map((side) => originOf(this.node, side)?.title).find(Boolean) ?? ""
  }

  /** Where the text comes in by a wire, the stage shows what is known of it and from where it comes. */
  showConnected() {
    const promoted = promotedWidgets(this.node, "boxes")
    const here = promoted?.some(({ widget }) => widget.element === this.editor.element)
    for (const { host, widget } of promoted ?? []) showPromoted(host, widget, () => this.editor.state.frame)
    if (here || !isConnected(this.node, "boxes")) {
      if (this.editor.guest) this.editor.showGuest(null)
      return
    }
    const origin = originOf(this.node, "boxes")
    const source = promoted?.[0]?.widget ?? origin?.widgets?.find((widget) => widget.name === "value")
    const text = typeof source?.value === "string" ? source.value : ""
    const why = origin
      ? t("The boxes come from “{title}”. Disconnect it to draw them here.", { title: origin.title })
      : t("The boxes belong to the subgraph's own node: click its picture of them to edit them.")
    this.editor.showGuest(text, why)
  }

  /** The last result is shown only where it has the frame's shape: any other one would mislead. */
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

  async takePhoto(file, index) {
    const { node, editor } = this
    const done = await (index < 0 ? photoBehind(node, file) : photoOfPerson(node, file, index, editor.state.boxes))
    this.refresh()
    return done
  }

  setSize(size) {
    if (SIDES.some((side) => isConnected(this.node, side))) {
      return this.editor.say(t("The size comes from another node. Change it there."))
    }
    app.canvas?.emitBeforeChange?.()
    for (const side of SIDES) {
      const widget = this.node.widgets.find(({ name }) => name === side)
      widget.value = size[side]
      widget.callback?.(size[side])
    }
    app.canvas?.emitAfterChange?.()
  }

  ran(output) {
    const boxes = output?.realisid_seed_boxes?.[0] ?? ""
    this.executed = {
      boxes,
      background: output?.realisid_background?.[0],
      chosen: chosenFile(this.node),
    }
    this.noteSize(output?.realisid_size)
    const { state, text, showsProposal } = this.editor
    const drawn = text && (state.boxes.length || state.error)
    if (!drawn && (boxes || showsProposal)) this.editor.propose(boxes)
    this.refresh()
  }

  async facesOfPhoto() {
    if (this.executed.boxes) return this.executed.boxes
    if (isConnected(this.node, "bboxes")) throw new Error(t("Run the graph once: the connected boxes are known after that."))
    const file = photoOf(this.node, this.executed)
    if (file) return facesIn(file, this.editor.state.frame)
    if (isConnected(this.node, "background")) {
      throw new Error(t("Run the graph once: the connected background is known after that."))
    }
    if (this.result) return facesIn(this.result, this.editor.state.frame)
    throw new Error(t("There is no photo yet. Connect one to background, for example with Load Image."))
  }
}

/**
 * The page's panels write their own width into any widget they draw, and the newest page hides a widget whose input is
 * connected and leaves its place empty. The editor keeps the node's width, and shows what is connected.
 */
function standFirm(widget) {
  const fixed = { width: undefined, computedDisabled: false, connectionSuppressed: false }
  for (const [name, value] of Object.entries(fixed)) {
    Object.defineProperty(widget, name, { get: () => value, set: () => {}, configurable: true, enumerable: true })
  }
}

/**
 * Older pages let the widget on a subgraph's node and the one inside share our element; where both appear at once, the
 * hidden one may get it. `widget` is the one being drawn: the element belongs in its frame.
 */
function takeFrame(widget, element) {
  if (!element.parentElement?.matches(".dom-widget") || element.offsetWidth) return
  const width = widget.node.size[0] - 2 * widget.margin
  const frames = [...document.querySelectorAll(".dom-widget:empty")]
  frames.find((frame) => Math.abs(frame.offsetWidth - width) < 2)?.append(element)
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

/** Two fingers on the stage zoom and move the canvas, as they do beside it. */
function pinched(before, after) {
  const apart = ([[x, y], [a, b]]) => Math.hypot(a - x, b - y)
  const middle = ([[x, y], [a, b]]) => [(x + a) / 2, (y + b) / 2]
  const { ds } = app.canvas
  const [from, to] = [middle(before), middle(after)]
  ds.offset[0] += (to[0] - from[0]) / ds.scale
  ds.offset[1] += (to[1] - from[1]) / ds.scale
  if (apart(before) > 0) ds.changeScale((ds.scale * apart(after)) / apart(before), to)
  app.canvas.setDirty(true, true)
}

/** The wheel and the middle button belong to the canvas, also over the editor; Nodes 2.0 sees to that itself. */
function forwardToCanvas(root) {
  const classic = () => !root.closest("[data-node-id], dialog")
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

export function refreshAll() {
  for (const binding of bindings) binding.refresh()
}
