/** The location-box editor: turns pointers, keys and buttons into operations on the state, and redraws. */

import { BoxesState, FULL } from "./boxes_state.js"
import { BoxesView } from "./boxes_view.js"

/** Distances on the screen, in CSS pixels. */
const REACH = { mouse: 12, pen: 16, touch: 24 }
const SNAP = 6
const CLICK = 3
/** Steps of the arrow keys, in pixels of the picture. */
const FINE = 1
const COARSE = 16
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }

export class BoxesEditor {
  /**
   * @param {object} host
   * @param {(text: string) => void} host.changed the boxes have a new text
   * @param {() => Promise<string>} host.facesOfPhoto boxes found in the background picture, as text; rejects with a reason
   * @param {() => void} host.toggleBackdrop
   */
  constructor(frame, host) {
    this.host = host
    this.state = new BoxesState(frame)
    this.view = new BoxesView()
    this.gesture = null
    this.proposed = null
    this.#bindPointer()
    this.#bindKeys()
    this.#bindButtons()
    this.view.render(this.state)
  }

  get element() {
    return this.view.root
  }

  /** Empty while the stage shows a proposal as it is. */
  get text() {
    return this.showsProposal ? "" : this.state.text
  }

  set text(text) {
    if (text === this.text) return
    this.proposed = null
    this.gesture = null
    this.state.load(text)
    this.view.render(this.state)
  }

  /** Show boxes that come from elsewhere, as a step that can be undone; they stay out of the text until one is changed. */
  propose(text) {
    const own = this.state.text !== this.proposed
    this.proposed = text
    if (text === this.state.text) return
    this.gesture = null
    this.state.show(text, own)
    this.view.render(this.state)
    if (this.state.boxes.length) this.view.say("The connected boxes; they are yours once you change one.")
  }

  get showsProposal() {
    return Boolean(this.proposed) && this.state.text === this.proposed
  }

  setFrame(frame) {
    if (frame.width === this.state.frame.width && frame.height === this.state.frame.height) return
    this.state.setFrame(frame)
    this.view.render(this.state)
  }

  /** Run `operation`, redraw, and tell the host if the text changed; `refusal` is what to say if it did nothing. */
  #do(operation, refusal = "") {
    const before = this.text
    const done = operation(this.state)
    this.view.render(this.state)
    if (!done && refusal) this.view.say(refusal)
    if (this.text !== before) this.host.changed(this.text)
    return done
  }

  #select(index) {
    this.state.select(index)
    this.view.render(this.state)
  }

  /** Put the focus where the keys act: on the selected box, else on the stage. */
  #focusStage() {
    const target = this.view.boxes[this.state.selected]?.grip ?? this.view.keys
    target.focus({ preventScroll: true })
  }

  // ---- pointer -------------------------------------------------------------------------------------------------

  #bindPointer() {
    const { holder } = this.view
    holder.addEventListener("pointerenter", () => this.view.matchZoom())
    holder.addEventListener("pointerdown", (event) => this.#press(event))
    holder.addEventListener("pointermove", (event) => this.#move(event))
    holder.addEventListener("pointerup", (event) => this.#release(event))
    holder.addEventListener("pointercancel", () => this.#cancel())
    holder.addEventListener("lostpointercapture", () => this.#cancel())
    holder.addEventListener("dblclick", () => this.state.box && this.view.name.focus())
    holder.addEventListener("contextmenu", (event) => event.preventDefault())
  }

  #press(event) {
    if (event.button !== 0 || this.gesture) return
    event.stopPropagation()
    this.#finishTyping()
    this.view.matchZoom()
    this.view.holder.setPointerCapture(event.pointerId)
    const { point, scale } = this.#locate(event)
    const hit = this.state.hit(point, REACH[event.pointerType] * scale, event.altKey ? 1 : 0)
    const wasSelected = hit?.index === this.state.selected
    this.gesture = { id: event.pointerId, start: point, screen: [event.clientX, event.clientY], hit, wasSelected, scale }
    if (hit && !wasSelected) this.#select(hit.index)
  }

  /** What is typed belongs to the box that is selected now, not to the one about to be. */
  #finishTyping() {
    const { activeElement } = document
    if (this.view.fields.contains(activeElement)) activeElement.blur()
  }

  #move(event) {
    const { gesture } = this
    if (!gesture) return this.#hover(event)
    if (event.pointerId !== gesture.id) return
    event.stopPropagation()
    const [x, y] = gesture.screen
    gesture.moved ||= Math.hypot(event.clientX - x, event.clientY - y) > CLICK
    if (!gesture.moved) return
    gesture.last = event
    gesture.drawing ??= requestAnimationFrame(() => {
      gesture.drawing = null
      if (this.gesture === gesture) this.#showGesture()
    })
  }

  #showGesture() {
    const { boxes, selected } = this.#outcome()
    this.view.render(this.state, boxes, selected)
  }

  /** The boxes as the gesture under way would leave them. */
  #outcome() {
    const { hit, start, last, scale } = this.gesture
    const { point } = this.#locate(last)
    const snap = last.altKey ? 0 : SNAP * scale
    if (!hit) {
      const boxes = this.state.boxes
      return { boxes: [...boxes, this.state.drawn(start, point, snap)], selected: boxes.length }
    }
    const { index, corner } = hit
    const boxes = corner
      ? this.state.withResized(index, corner, point, snap)
      : this.state.withMoved(index, point.x - start.x, point.y - start.y)
    return { boxes, selected: index }
  }

  #release(event) {
    const { gesture } = this
    if (event.pointerId !== gesture?.id) return
    event.stopPropagation()
    if (gesture.moved) {
      gesture.last = event
      const { boxes, selected } = this.#outcome()
      this.gesture = null
      if (!gesture.hit && this.view.add.disabled) this.#do(() => false, FULL)
      else this.#do((state) => state.commit(boxes, selected))
    } else {
      this.gesture = null
      this.#click(gesture, event)
    }
    this.#focusStage()
  }

  /** A press without a drag selects; again at the same place, the next box below; beside all boxes, none. */
  #click({ hit, wasSelected, start, scale }, event) {
    if (!hit) this.#select(-1)
    else if (wasSelected) this.#select(this.state.hit(start, REACH[event.pointerType] * scale, 1).index)
  }

  #cancel() {
    if (!this.gesture) return
    this.gesture = null
    this.view.render(this.state)
  }

  #hover(event) {
    const { point, scale } = this.#locate(event)
    const hit = this.state.hit(point, (REACH[event.pointerType] ?? REACH.mouse) * scale)
    const cursors = { nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize" }
    this.view.holder.style.cursor = hit ? (cursors[hit.corner] ?? "move") : "crosshair"
  }

  /** Where the pointer is in pixels of the picture, and how many of those one pixel of the screen is. */
  #locate(event) {
    const rect = this.view.stage.getBoundingClientRect()
    const scale = this.state.frame.width / rect.width
    return { point: { x: (event.clientX - rect.left) * scale, y: (event.clientY - rect.top) * scale }, scale }
  }

  // ---- keys ----------------------------------------------------------------------------------------------------

  #bindKeys() {
    const { root, holder } = this.view
    holder.addEventListener("keydown", (event) => {
      if (!this.#pressKey(event)) return
      event.preventDefault()
      event.stopPropagation()
    })
    holder.addEventListener("focusin", ({ target }) => {
      const index = this.view.boxes.findIndex(({ grip }) => grip === target)
      if (index >= 0 && index !== this.state.selected && !this.gesture) this.#select(index)
    })
    // The host's one-key shortcuts (and Delete, which would remove the node) are not meant while editing.
    root.addEventListener("keydown", (event) => {
      if (!event.ctrlKey && !event.metaKey) event.stopPropagation()
    })
  }

  #pressKey(event) {
    if (event.ctrlKey || event.metaKey) return this.#pressControl(event)
    if (event.key in ARROWS) {
      const step = event.shiftKey ? COARSE : FINE
      const [dx, dy] = ARROWS[event.key]
      this.#do((state) => state.nudge(dx * step, dy * step, event.repeat))
      return true
    }
    const action = {
      Delete: () => this.#do((state) => state.remove()),
      Backspace: () => this.#do((state) => state.remove()),
      Tab: () => this.state.boxes.length && (this.state.cycle(event.shiftKey ? -1 : 1), this.view.render(this.state), true),
      Enter: () => this.state.box && this.view.name.focus(),
      " ": () => true,
      Escape: () => this.#leave(),
    }[event.key]
    if (!action) return false
    const outcome = action()
    if (event.key === "Tab" && !outcome) return false
    if (!["Enter", "Escape"].includes(event.key)) this.#focusStage()
    return true
  }

  #pressControl(event) {
    const key = event.key.toLowerCase()
    const action = {
      z: (state) => (event.shiftKey ? state.redo() : state.undo()),
      y: (state) => state.redo(),
      d: (state) => state.duplicate(),
    }[key]
    if (!action) return false
    this.#do(action)
    this.#focusStage()
    return true
  }

  #leave() {
    this.#cancel()
    this.#select(-1)
    const { add, layout } = this.view
    const next = add.disabled ? layout : add
    next.focus()
  }

  // ---- buttons and fields --------------------------------------------------------------------------------------

  #bindButtons() {
    const { view } = this
    const operations = {
      undo: (state) => state.undo(),
      redo: (state) => state.redo(),
      clear: (state) => state.clear(),
      earlier: (state) => state.reorder(-1),
      later: (state) => state.reorder(1),
      duplicate: (state) => state.duplicate(),
      remove: (state) => state.remove(),
    }
    for (const [name, operation] of Object.entries(operations)) this.#onClick(view[name], () => this.#do(operation))
    this.#onClick(view.add, () => this.#do((state) => state.add(), FULL))
    this.#onClick(view.backdropToggle, () => this.host.toggleBackdrop())
    this.#onClick(view.photo, () => this.#takeFaces())
    view.layout.addEventListener("change", () => this.#chooseLayout())
    view.people.addEventListener("click", (event) => {
      const index = view.boxes.findIndex(({ chip }) => chip.contains(event.target))
      if (index < 0) return
      this.#select(index)
      if (event.detail > 0) this.#focusStage()
    })
    view.name.addEventListener("input", () => this.#do((state) => state.rename(state.selected, view.name.value)))
    view.name.addEventListener("keydown", ({ key }) => ["Enter", "Escape"].includes(key) && this.#focusStage())
    for (const [field, input] of Object.entries(view.numbers)) this.#bindNumber(field, input)
  }

  /** A click with the pointer hands the keys back to the stage; one with the keyboard leaves them on the button. */
  #onClick(target, action) {
    target.addEventListener("click", (event) => {
      action()
      if (event.detail > 0 || target.disabled) this.#focusStage()
    })
  }

  #bindNumber(field, input) {
    const apply = () => {
      const value = input.value.trim() === "" ? NaN : Number(input.value)
      if (field !== "ratio") this.#do((state) => state.setPixels(field, value))
      else if (value > 0) this.#do((state) => state.setPixels("side", state.pixels({ x: 0, y: 0, size: 1 / value }).side))
    }
    input.addEventListener("change", apply)
    input.addEventListener("blur", () => this.view.render(this.state))
    input.addEventListener("keydown", ({ key }) => {
      if (key === "Enter" || key === "Escape") this.#focusStage()
    })
  }

  #chooseLayout() {
    const [what, count] = this.view.layout.value.split(" ")
    this.view.layout.value = ""
    this.#do((state) => (what === "people" ? state.layOut(Number(count)) : state.arrange(what)))
    this.#focusStage()
  }

  async #takeFaces() {
    this.view.photo.disabled = true
    this.view.say("Looking for faces …")
    try {
      const found = new BoxesState(this.state.frame)
      found.load(await this.host.facesOfPhoto())
      if (found.error) throw new Error(found.error)
      this.#do((state) => {
        this.proposed = null
        return state.replace(found.boxes)
      })
      this.view.say(found.boxes.length === 1 ? "One face found" : `${found.boxes.length} faces found`)
    } catch (error) {
      this.view.say(error.message)
    } finally {
      this.view.photo.disabled = false
    }
  }
}
