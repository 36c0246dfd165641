/**
 * Boxes promoted to a subgraph's own node. Newer pages make a widget there that knows the text and nothing of our editor:
 * it gets a picture of the boxes, and a click opens the editor in a dialog. Older pages move the editor itself.
 */

import { app } from "../../scripts/app.js"
import { openDialog } from "./boxes_dialog.js"
import { BoxesEditor } from "./boxes_editor.js"
import { longEdge } from "./boxes_format.js"
import { BoxesState } from "./boxes_state.js"
import { COLOURS } from "./boxes_view.js"
import { t } from "./strings.js"

const LEAST_HEIGHT = 180
const MARGIN = 10
const LINE = 20

/**
 * Show the boxes on `widget` of the subgraph's node `host`, or bring it up to date.
 *
 * @param {() => object} frameOf the picture's size, as the node inside knows it
 */
export function showPromoted(host, widget, frameOf) {
  if (!editors.has(widget)) {
    if (widget.element) return // older pages: it is the editor itself
    adorn(host, widget, frameOf)
  }
  const editor = editors.get(widget)
  editor.setFrame(frameOf())
  editor.text = String(widget.value ?? "")
  widget.triggerDraw?.()
  requestAnimationFrame(() => requestAnimationFrame(() => takeFrame(host, editor)))
}

/** The editor of each promoted widget. */
const editors = new WeakMap()

function adorn(host, widget, frameOf) {
  const editor = new BoxesEditor(frameOf(), {
    changed(text) {
      widget.value = text
      widget.callback?.(text)
      app.canvas.setDirty(true, true)
    },
    facesOfPhoto: () => Promise.reject(new Error(t("Open the subgraph to take faces from its photo."))),
    toggleBackdrop() {},
    pinched() {},
  })
  editors.set(widget, editor)
  // On the canvas a picture of the boxes; in Nodes 2.0, which puts a widget's element into the node, the editor.
  Object.defineProperty(widget, "element", {
    get: () => (globalThis.LiteGraph.vueNodesMode ? editor.element : undefined),
    configurable: true,
  })
  widget.computeLayoutSize = () => ({ minHeight: LEAST_HEIGHT, minWidth: 0 })
  widget.draw = (context, node, width, y) => {
    const height = Math.max(widget.computedHeight ?? 0, LEAST_HEIGHT)
    draw(context, String(widget.value ?? ""), frameOf(), width, y, height)
  }
  widget.onPointerDown = (pointer) => {
    pointer.onClick = () => {
      editor.text = String(widget.value ?? "")
      openDialog(editor, host.title)
    }
    return true
  }
  host.setDirtyCanvas?.(true, true)
}

/** Nodes 2.0 has made an empty frame for the widget before it had an element. */
function takeFrame(host, { element }) {
  if (element.isConnected || !globalThis.LiteGraph.vueNodesMode) return
  document.querySelector(`[data-node-id="${host.id}"] div[class~="*:flex-1"]:empty`)?.append(element)
}

function draw(context, text, frame, width, y, height) {
  const state = new BoxesState(frame)
  state.load(text)
  const room = { width: width - 2 * MARGIN, height: height - 2 * MARGIN - LINE }
  const scale = Math.min(room.width / frame.width, room.height / frame.height)
  const left = (width - frame.width * scale) / 2
  const top = y + MARGIN + (room.height - frame.height * scale) / 2
  context.save()
  context.font = "11px Inter, system-ui, sans-serif"
  context.strokeStyle = "#888"
  context.lineWidth = 1
  context.strokeRect(left, top, frame.width * scale, frame.height * scale)
  context.beginPath()
  context.rect(left, top, frame.width * scale, frame.height * scale)
  context.clip()
  state.boxes.forEach((box, index) => {
    const side = box.size * longEdge(frame) * scale
    const [x, from] = [left + box.x * frame.width * scale, top + box.y * frame.height * scale]
    context.fillStyle = context.strokeStyle = COLOURS[index % COLOURS.length]
    context.lineWidth = 2
    context.strokeRect(x, from, side, side)
    context.textAlign = "left"
    context.fillText(`${index + 1} ${box.name}`, x + 4, from + 13, Math.max(side - 6, 12))
  })
  context.restore()
  context.save()
  context.font = "12px Inter, system-ui, sans-serif"
  context.fillStyle = "#999"
  context.textAlign = "center"
  const line = state.error || t("Click to edit the face boxes")
  context.fillText(line, width / 2, y + height - MARGIN, room.width)
  context.restore()
}
