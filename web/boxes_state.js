/**
 * The state of the location-box editor and every operation on it. Knows nothing of the page: it is tested with Node.
 */

import { MAX_BOXES, formatBoxes, longEdge, parseBoxes } from "./boxes_format.js"
import { History } from "./boxes_history.js"
import { centred, freePlace, mirrored, peopleLayout, spacedEvenly } from "./boxes_layout.js"
import { Placement } from "./boxes_placement.js"

const NEW_SIZE = 1 / 4

export class BoxesState extends Placement {
  /** @param {{width: number, height: number}} frame */
  constructor(frame) {
    super(frame)
    this.history = new History()
    this.load("")
  }

  /**
   * Take over a text from outside: one of the steps, or the first of new ones. A broken one is kept, shown as an empty
   * stage and explained by `error`.
   */
  load(text) {
    const step = this.text === undefined ? undefined : this.history.reach(text, this.#now)
    if (!step) this.history.forget()
    this.#show(step ?? { text, picked: [] })
  }

  /** Take over a text from outside and keep the steps before; `step`: what it replaces is one of them. */
  show(text, step) {
    if (step) this.history.remember(this.#now)
    this.#show({ text, picked: [] })
  }

  /** Go on with the steps of `other`, an editor of the same node before, if it came by this text. */
  continue(other) {
    if (other.text !== this.text && !other.history.reach(this.text, other.#now)) return
    this.history.adopt(other.history)
  }

  setFrame(frame) {
    this.frame = frame
    this.#read()
  }

  get #now() {
    return { text: this.text, picked: this.picked }
  }

  #show({ text, picked }) {
    this.text = text
    this.picked = picked
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
    this.picked = this.picked.filter((index) => index < this.boxes.length)
  }

  // ---- history -------------------------------------------------------------------------------------------------

  /** Make `boxes` the state. Steps that carry the same `step` in a row (typing, a held key) are undone together. */
  commit(boxes, picked = this.picked, step = null) {
    const text = formatBoxes(boxes)
    if (text === this.text && !this.error) {
      this.picked = picked
      return false
    }
    this.history.remember(this.#now, step)
    this.#show({ text, picked })
    return true
  }

  undo() {
    return this.#travel(this.history.back(this.#now))
  }

  redo() {
    return this.#travel(this.history.forth(this.#now))
  }

  #travel(step) {
    if (!step) return false
    this.#show(step)
    return true
  }

  // ---- selection: `picked` holds the indices, the one that the fields show last ------------------------------------

  get box() {
    return this.boxes[this.selected]
  }

  /** Select one box; -1: none. */
  select(index) {
    this.picked = index < 0 ? [] : [index]
    this.history.lastStep = null
  }

  selectAll() {
    this.picked = [...this.boxes.keys()]
    this.history.lastStep = null
    return this.picked.length > 0
  }

  /** Add a box to the selection, or take it out. */
  toggle(index) {
    const others = this.picked.filter((other) => other !== index)
    this.picked = others.length < this.picked.length ? others : [...others, index]
    this.history.lastStep = null
  }

  /** Tab: the next person (`direction` 1) or the one before (-1), round and round. */
  cycle(direction) {
    const count = this.boxes.length
    if (!count) return
    const from = this.selected < 0 && direction < 0 ? 0 : this.selected
    this.select((from + direction + count) % count)
  }

  // ---- operations ----------------------------------------------------------------------------------------------

  /** Add a box as the last person. Returns whether there was room. */
  add(box = { ...freePlace(this.boxes, NEW_SIZE, this.frame), name: "" }) {
    return this.insert([box])
  }

  /** Add `boxes` as the last people and select them. Returns whether there was room for all. */
  insert(boxes) {
    const { length } = this.boxes
    if (!boxes.length || length + boxes.length > MAX_BOXES) return false
    return this.commit([...this.boxes, ...boxes], boxes.map((_, at) => length + at))
  }

  /** The selected boxes, moved a little so that they can be told from where they came. */
  duplicate() {
    return this.paste(this.picked.map((index) => this.boxes[index]))
  }

  /** Add copies of `boxes`; those that would lie exactly on one that is there are moved aside. */
  paste(boxes) {
    const step = longEdge(this.frame) / 32
    const taken = (box) => this.boxes.some((other) => other.x === box.x && other.y === box.y && other.size === box.size)
    let copies = boxes
    for (let n = 0; n <= this.boxes.length && copies.some(taken); n++) {
      copies = copies.map((box) => {
        const { left, top } = this.pixels(box)
        return this.boxAt(left + step, top + step, box.size, box.name)
      })
      copies = parseBoxes(formatBoxes(copies), this.frame)
    }
    return this.insert(copies)
  }

  /** Remove the selected boxes; the next one is selected. */
  remove(picked = this.picked) {
    if (!picked.length) return false
    const rest = this.boxes.filter((_, index) => !picked.includes(index))
    const next = Math.min(...picked, rest.length - 1)
    return this.commit(rest, next < 0 ? [] : [next])
  }

  clear() {
    return this.commit([], [])
  }

  nudge(dx, dy, held = false) {
    if (!this.box) return false
    const step = held ? this.history.lastStep : `nudge ${this.history.past.length}`
    return this.commit(this.withMoved(this.selected, dx, dy), this.picked, step)
  }

  rename(index, name) {
    return this.commit(this.with(index, { ...this.boxes[index], name }), this.picked, `name ${index}`)
  }

  /** Set the selected box's `left`, `top` or `side`, in pixels of the frame; the side grows from the centre. */
  setPixels(field, value) {
    if (!this.box || !Number.isFinite(value)) return false
    const at = { ...this.pixels(this.box) }
    if (field === "side") {
      const size = this.sizeOf(value, 0)
      const side = size * longEdge(this.frame)
      at.left += (at.side - side) / 2
      at.top += (at.side - side) / 2
      at.side = side
    } else {
      at[field] = value
    }
    const box = this.boxAt(at.left, at.top, at.side / longEdge(this.frame), this.box.name)
    return this.commit(this.with(this.selected, box))
  }

  /** Make the selected person earlier (-1) or later (1): person numbers and, where boxes overlap, front and back. */
  reorder(direction) {
    const to = this.selected + direction
    if (!this.box || to < 0 || to >= this.boxes.length) return false
    const boxes = [...this.boxes]
    boxes.splice(to, 0, ...boxes.splice(this.selected, 1))
    return this.commit(boxes, [to])
  }

  /** Place `count` people in even, mirrored, centred rows. People keep their names. */
  layOut(count) {
    const boxes = peopleLayout(count, this.frame)
    return this.commit(boxes.map((box, index) => ({ ...box, name: this.boxes[index]?.name ?? "" })), [])
  }

  arrange(how) {
    const arranged = { mirror: mirrored, centre: centred, space: spacedEvenly }[how]
    return this.boxes.length > 0 && this.commit(arranged(this.boxes, this.frame))
  }

  /** Take over boxes found elsewhere (a photo, a connected input), squares in fractions; the rest is left out. */
  replace(boxes) {
    return this.commit(boxes.slice(0, MAX_BOXES).map((box) => ({ name: "", ...box })), [])
  }
}
