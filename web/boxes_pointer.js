/** What mouse, pen and fingers do on the stage: draw, move, resize, select; two fingers belong to the canvas. */

/** Distances on the screen, in CSS pixels. */
const REACH = { mouse: 12, pen: 16, touch: 24 }
const SNAP = 6
/** Shorter ways are clicks; on the empty stage longer ones are, too, so that no stray box is left. */
const CLICK = 3
const STRAY = 8
const CURSORS = { nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize" }

export class Pointer {
  /** @param {object} editor a BoxesEditor */
  constructor(editor) {
    this.editor = editor
    this.gesture = null
    this.fingers = new Map()
    const { holder } = editor.view
    holder.addEventListener("pointerenter", () => editor.view.matchZoom())
    holder.addEventListener("pointerdown", (event) => this.#press(event))
    holder.addEventListener("pointermove", (event) => this.#move(event))
    holder.addEventListener("pointerup", (event) => this.#release(event))
    holder.addEventListener("pointercancel", (event) => this.#lose(event))
    holder.addEventListener("lostpointercapture", (event) => event.pointerId === this.gesture?.id && this.cancel())
    holder.addEventListener("dblclick", () => editor.state.box && editor.view.name.focus())
  }

  /** Give up a gesture under way. Returns whether there was one. */
  cancel() {
    if (!this.gesture) return false
    this.gesture = null
    this.editor.render()
    return true
  }

  #press(event) {
    if (event.pointerType === "touch" && !this.#countFinger(event)) return
    if (event.button !== 0 || this.gesture) return
    event.stopPropagation()
    const { editor } = this
    editor.finishTyping()
    editor.view.matchZoom()
    editor.view.holder.setPointerCapture(event.pointerId)
    const { point, scale } = this.#locate(event)
    const hit = editor.state.hit(point, REACH[event.pointerType] * scale, event.altKey ? 1 : 0)
    const wasSelected = Boolean(hit) && editor.state.picked.includes(hit.index)
    const screen = [event.clientX, event.clientY]
    this.gesture = { id: event.pointerId, start: point, screen, hit, wasSelected, scale }
    if (hit && event.shiftKey) this.gesture.toggles = true
    else if (hit && !wasSelected) editor.select(hit.index)
  }

  /** A second finger ends what the first began, until all are lifted: the two pinch. Returns whether this is the only one. */
  #countFinger(event) {
    if (event.isPrimary) this.fingers.clear()
    this.fingers.set(event.pointerId, [event.clientX, event.clientY])
    if (this.fingers.size < 2) return true
    this.cancel()
    return false
  }

  #move(event) {
    if (this.fingers.size > 1) return this.#pinch(event)
    const { gesture } = this
    if (!gesture) return this.#hover(event)
    if (event.pointerId !== gesture.id) return
    event.stopPropagation()
    const [x, y] = gesture.screen
    gesture.moved ||= Math.hypot(event.clientX - x, event.clientY - y) > (gesture.hit ? CLICK : STRAY)
    if (!gesture.moved) return
    if (gesture.toggles) this.#dropToggle()
    gesture.last = event
    gesture.drawing ??= requestAnimationFrame(() => {
      gesture.drawing = null
      if (this.gesture === gesture) this.#showGesture()
    })
  }

  /** A drag with Shift moves what is selected together with the box under the pointer. */
  #dropToggle() {
    const { hit, wasSelected } = this.gesture
    this.gesture.toggles = false
    if (!wasSelected) this.editor.toggle(hit.index)
  }

  #pinch(event) {
    const before = [...this.fingers.values()]
    if (!this.fingers.has(event.pointerId)) return
    event.stopPropagation()
    this.fingers.set(event.pointerId, [event.clientX, event.clientY])
    this.editor.host.pinched(before.slice(0, 2), [...this.fingers.values()].slice(0, 2))
  }

  #showGesture() {
    const { boxes, picked, guides } = this.#outcome()
    this.editor.view.render(this.editor.state, boxes, picked, guides)
  }

  /** The boxes as the gesture under way would leave them. */
  #outcome() {
    const { state } = this.editor
    const { hit, start, last, scale } = this.gesture
    const { point } = this.#locate(last)
    const snap = last.altKey ? 0 : SNAP * scale
    if (!hit) return { boxes: [...state.boxes, state.drawn(start, point, snap)], picked: [state.boxes.length] }
    const { index, corner } = hit
    const picked = state.picked.includes(index) ? state.picked : [index]
    if (corner) return { boxes: state.withResized(index, corner, point, snap), picked }
    const { dx, dy, guides } = state.aligned(index, point.x - start.x, point.y - start.y, snap)
    return { boxes: state.withMoved(index, dx, dy), picked, guides }
  }

  #release(event) {
    this.fingers.delete(event.pointerId)
    const { gesture, editor } = this
    if (event.pointerId !== gesture?.id) return
    event.stopPropagation()
    if (gesture.moved) {
      gesture.last = event
      const { boxes, picked } = this.#outcome()
      this.gesture = null
      if (!gesture.hit && editor.isFull) editor.refuse()
      else editor.do((state) => state.commit(boxes, picked))
    } else {
      this.gesture = null
      this.#click(gesture, event)
    }
    editor.focusStage()
  }

  /** A press without a drag selects; again at the same place, the next box below; beside all boxes, none. */
  #click({ hit, wasSelected, toggles, start, scale }, event) {
    const { editor } = this
    if (toggles) editor.toggle(hit.index)
    else if (!hit) editor.select(-1)
    else if (wasSelected && editor.state.picked.length > 1) editor.select(hit.index)
    else if (wasSelected) editor.select(editor.state.hit(start, REACH[event.pointerType] * scale, 1).index)
  }

  #lose(event) {
    this.fingers.delete(event.pointerId)
    this.cancel()
  }

  #hover(event) {
    const { point, scale } = this.#locate(event)
    const hit = this.editor.state.hit(point, (REACH[event.pointerType] ?? REACH.mouse) * scale)
    this.editor.view.holder.style.cursor = hit ? (CURSORS[hit.corner] ?? "move") : "crosshair"
  }

  /** The index of the box under the pointer, or -1. */
  boxAt(event) {
    const { point, scale } = this.#locate(event)
    return this.editor.state.hit(point, REACH.mouse * scale)?.index ?? -1
  }

  /** Where the pointer is in pixels of the picture, and how many of those one pixel of the screen is. */
  #locate(event) {
    const rect = this.editor.view.stage.getBoundingClientRect()
    const scale = this.editor.state.frame.width / rect.width
    return { point: { x: (event.clientX - rect.left) * scale, y: (event.clientY - rect.top) * scale }, scale }
  }
}
