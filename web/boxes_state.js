/**
 * The state of the location-box editor and every operation on it. Knows nothing of the page: it is tested with Node.
 *
 * Points and lengths of gestures are in pixels of the frame (the picture to be made), not of the screen.
 */

import { MAX_BOXES, formatBoxes, longEdge, parseBoxes, sides } from "./boxes_format.js"
import { centred, mirrored, peopleLayout, spacedEvenly } from "./boxes_layout.js"

export const SNAP_SIZES = [1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 1 / 7]
export const FULL = `At most ${MAX_BOXES} people fit one picture.`
const MIN_SIZE = 1 / 64
const MAX_SIZE = 2
const NEW_SIZE = 1 / 4
/** The part of a box's side that stays inside the frame however far it is dragged. */
const KEPT_INSIDE = 0.1
const HISTORY = 100

export class BoxesState {
  /** @param {{width: number, height: number}} frame */
  constructor(frame) {
    this.frame = frame
    this.load("")
  }

  /** Take over a text from outside. A broken one is kept, shown as an empty stage and explained by `error`. */
  load(text) {
    this.text = text
    this.selected = -1
    this.past = []
    this.future = []
    this.lastStep = null
    this.#read()
  }

  /** Take over a text from outside and keep the steps before; `step`: what it replaces is one of them. */
  show(text, step) {
    if (step) this.#remember(this.past)
    const { past } = this
    this.load(text)
    this.past = past
  }

  setFrame(frame) {
    this.frame = frame
    this.#read()
  }

  #read() {
    this.error = ""
    this.boxes = []
    try {
      this.boxes = parseBoxes(this.text, this.frame)
    } catch (error) {
      this.error = error.message
    }
    this.selected = Math.min(this.selected, this.boxes.length - 1)
  }

  get box() {
    return this.boxes[this.selected]
  }

  // ---- history -------------------------------------------------------------------------------------------------

  /** Make `boxes` the state. Steps that carry the same `step` in a row (typing, a held key) are undone together. */
  commit(boxes, selected = this.selected, step = null) {
    const text = formatBoxes(boxes)
    if (text === this.text && !this.error) {
      this.selected = selected
      return false
    }
    if (step === null || step !== this.lastStep) this.#remember(this.past)
    this.lastStep = step
    this.future = []
    this.text = text
    this.selected = selected
    this.#read()
    return true
  }

  undo() {
    return this.#travel(this.past, this.future)
  }

  redo() {
    return this.#travel(this.future, this.past)
  }

  #travel(from, to) {
    const there = from.pop()
    if (!there) return false
    this.#remember(to)
    this.text = there.text
    this.selected = there.selected
    this.lastStep = null
    this.#read()
    return true
  }

  #remember(steps) {
    steps.push({ text: this.text, selected: this.selected })
    steps.splice(0, steps.length - HISTORY)
  }

  // ---- selection -----------------------------------------------------------------------------------------------

  select(index) {
    this.selected = index
    this.lastStep = null
  }

  /** Tab: the next person (`direction` 1) or the one before (-1), round and round. */
  cycle(direction) {
    const count = this.boxes.length
    if (!count) return
    const from = this.selected < 0 && direction < 0 ? 0 : this.selected
    this.select((from + direction + count) % count)
  }

  /**
   * What lies under `point`: `{index, corner}` with `corner` "nw", "ne", "sw", "se" or null for the inside; or null.
   * The selected box comes first, then smaller ones, so a face in front of a larger one can always be caught.
   * `tolerance` is how far from a corner it still counts, half of that on boxes that are not selected; `skip` goes that
   * many candidates deeper.
   */
  hit(point, tolerance, skip = 0) {
    const found = []
    this.boxes.forEach((box, index) => {
      const { left, top, side } = this.pixels(box)
      const reach = Math.min(index === this.selected ? tolerance : tolerance / 2, side / 3)
      const corner = cornerAt(point, left, top, side, reach)
      const inside = within(point.x, left, side) && within(point.y, top, side)
      if (corner || inside) found.push({ index, corner, side })
    })
    found.sort((a, b) => (b.index === this.selected) - (a.index === this.selected) || a.side - b.side)
    return found.length ? found[skip % found.length] : null
  }

  /** The box in pixels of the frame. */
  pixels(box) {
    return {
      left: box.x * this.frame.width,
      top: box.y * this.frame.height,
      side: box.size * longEdge(this.frame),
    }
  }

  // ---- gestures: each returns the boxes as they would be; `commit` makes them so -------------------------------

  /** The box drawn from `start` to `end`. `snap` is the distance, in pixels, at which a side takes a round size. */
  drawn(start, end, snap) {
    const dx = end.x - start.x
    const dy = end.y - start.y
    const size = this.#sizeOf(Math.max(Math.abs(dx), Math.abs(dy)), snap)
    const side = size * longEdge(this.frame)
    return this.#boxAt(dx < 0 ? start.x - side : start.x, dy < 0 ? start.y - side : start.y, size, "")
  }

  withMoved(index, dx, dy) {
    const { left, top } = this.pixels(this.boxes[index])
    const { size, name } = this.boxes[index]
    return this.#with(index, this.#boxAt(left + dx, top + dy, size, name))
  }

  /** The box with `corner` pulled to `point`, the opposite corner staying where it is. */
  withResized(index, corner, point, snap) {
    const { left, top, side } = this.pixels(this.boxes[index])
    const east = corner.includes("e")
    const south = corner.includes("s")
    const anchor = { x: east ? left : left + side, y: south ? top : top + side }
    const reach = Math.max((point.x - anchor.x) * (east ? 1 : -1), (point.y - anchor.y) * (south ? 1 : -1))
    const size = this.#sizeOf(reach, snap)
    const grown = size * longEdge(this.frame)
    const box = this.#boxAt(
      east ? anchor.x : anchor.x - grown,
      south ? anchor.y : anchor.y - grown,
      size,
      this.boxes[index].name
    )
    return this.#with(index, box)
  }

  // ---- operations ----------------------------------------------------------------------------------------------

  /** Add a box as the last person. Returns whether there was room. */
  add(box = this.#freePlace()) {
    if (this.boxes.length >= MAX_BOXES) return false
    return this.commit([...this.boxes, box], this.boxes.length)
  }

  duplicate() {
    if (!this.box || this.boxes.length >= MAX_BOXES) return false
    const step = longEdge(this.frame) / 32
    const copy = this.withMoved(this.selected, step, step)[this.selected]
    return this.commit([...this.boxes, copy], this.boxes.length)
  }

  remove(index = this.selected) {
    if (!this.boxes[index]) return false
    const rest = this.boxes.filter((_, other) => other !== index)
    return this.commit(rest, Math.min(index, rest.length - 1))
  }

  clear() {
    return this.commit([], -1)
  }

  nudge(dx, dy, held = false) {
    if (!this.box) return false
    const step = held ? this.lastStep : `nudge ${this.past.length}`
    return this.commit(this.withMoved(this.selected, dx, dy), this.selected, step)
  }

  rename(index, name) {
    return this.commit(this.#with(index, { ...this.boxes[index], name }), this.selected, `name ${index}`)
  }

  /** Set the selected box's `left`, `top` or `side`, in pixels of the frame; the side grows from the centre. */
  setPixels(field, value) {
    if (!this.box || !Number.isFinite(value)) return false
    const at = { ...this.pixels(this.box) }
    if (field === "side") {
      const size = this.#sizeOf(value, 0)
      const side = size * longEdge(this.frame)
      at.left += (at.side - side) / 2
      at.top += (at.side - side) / 2
      at.side = side
    } else {
      at[field] = value
    }
    const box = this.#boxAt(at.left, at.top, at.side / longEdge(this.frame), this.box.name)
    return this.commit(this.#with(this.selected, box))
  }

  /** Make the selected person earlier (-1) or later (1): person numbers and, where boxes overlap, front and back. */
  reorder(direction) {
    const to = this.selected + direction
    if (!this.box || to < 0 || to >= this.boxes.length) return false
    const boxes = [...this.boxes]
    boxes.splice(to, 0, ...boxes.splice(this.selected, 1))
    return this.commit(boxes, to)
  }

  /** Place `count` people in even, mirrored, centred rows. People keep their names. */
  layOut(count) {
    const boxes = peopleLayout(count, this.frame)
    return this.commit(boxes.map((box, index) => ({ ...box, name: this.boxes[index]?.name ?? "" })), -1)
  }

  arrange(how) {
    const arranged = { mirror: mirrored, centre: centred, space: spacedEvenly }[how]
    return this.boxes.length > 0 && this.commit(arranged(this.boxes, this.frame))
  }

  /** Take over boxes found elsewhere (a photo, a connected input), squares in fractions; the rest is left out. */
  replace(boxes) {
    return this.commit(boxes.slice(0, MAX_BOXES).map((box) => ({ name: "", ...box })), -1)
  }

  // ---- helpers -------------------------------------------------------------------------------------------------

  #with(index, box) {
    return this.boxes.map((other, at) => (at === index ? box : other))
  }

  #sizeOf(side, snap) {
    const edge = longEdge(this.frame)
    const round = SNAP_SIZES.find((size) => Math.abs(size * edge - side) < snap)
    return round ?? clamp(side / edge, MIN_SIZE, MAX_SIZE)
  }

  #boxAt(left, top, size, name) {
    const { width, height } = this.frame
    const side = size * longEdge(this.frame)
    const kept = Math.min(side * KEPT_INSIDE, width / 2, height / 2)
    return {
      x: clamp(left, kept - side, width - kept) / width,
      y: clamp(top, kept - side, height - kept) / height,
      size,
      name,
    }
  }

  /** Where the "add" button puts a box: the spot of a coarse grid farthest from the boxes there are. */
  #freePlace() {
    const { width, height } = this.frame
    const side = NEW_SIZE * longEdge(this.frame)
    const centres = this.boxes.map((box) => {
      const at = this.pixels(box)
      return { x: at.left + at.side / 2, y: at.top + at.side / 2 }
    })
    const spots = [0.5, 0.25, 0.75].flatMap((fy) => [0.5, 0.25, 0.75].map((fx) => ({ x: fx * width, y: fy * height })))
    const room = (spot) => Math.min(Infinity, ...centres.map((centre) => Math.hypot(spot.x - centre.x, spot.y - centre.y)))
    const spot = spots.reduce((best, next) => (room(next) > room(best) + 1e-6 ? next : best))
    return this.#boxAt(spot.x - side / 2, spot.y - side / 2, NEW_SIZE, "")
  }
}

/** The boxes' sides as CSS percentages of the frame: what the stage draws. */
export function percentages(box, frame) {
  const { width, height } = sides(box, frame)
  return { left: box.x * 100, top: box.y * 100, width: width * 100, height: height * 100 }
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high)
const within = (value, start, length) => value >= start && value <= start + length

function cornerAt(point, left, top, side, reach) {
  const near = (value, edge) => Math.abs(value - edge) <= reach
  const vertical = near(point.y, top) ? "n" : near(point.y, top + side) ? "s" : ""
  const horizontal = near(point.x, left) ? "w" : near(point.x, left + side) ? "e" : ""
  return vertical && horizontal ? vertical + horizontal : null
}
