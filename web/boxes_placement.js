/**
 * Boxes in a frame: what lies under a point, and what a gesture would make of them. Points and lengths are in pixels of
 * the frame (the picture to be made), not of the screen.
 */

import { longEdge, sides } from "./boxes_format.js"

export const SNAP_SIZES = [1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 1 / 7]
const MIN_SIZE = 1 / 64
const MAX_SIZE = 2
/** The part of a box's side that stays inside the frame however far it is dragged. */
const KEPT_INSIDE = 0.1

export class Placement {
  /** @param {{width: number, height: number}} frame */
  constructor(frame) {
    this.frame = frame
    this.boxes = []
    this.picked = []
  }

  /** The box that the fields show: of the selected ones, the last. */
  get selected() {
    return this.picked.at(-1) ?? -1
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

  /** The box drawn from `start` to `end`, inside the frame. `snap`: the distance in pixels at which a side takes a round size. */
  drawn(start, end, snap) {
    const { width, height } = this.frame
    const from = { x: clamp(start.x, 0, width), y: clamp(start.y, 0, height) }
    const left = end.x < from.x
    const up = end.y < from.y
    const room = Math.min(left ? from.x : width - from.x, up ? from.y : height - from.y)
    const reach = Math.max(Math.abs(end.x - from.x), Math.abs(end.y - from.y))
    const size = this.sizeOf(Math.min(reach, room), snap)
    const side = Math.min(size * longEdge(this.frame), Math.max(room, MIN_SIZE * longEdge(this.frame)))
    return this.boxAt(left ? from.x - side : from.x, up ? from.y - side : from.y, side / longEdge(this.frame), "")
  }

  /** The boxes with `index`, and all that are selected with it, moved; none further than every one of them can go. */
  withMoved(index, dx, dy) {
    const moved = this.picked.includes(index) ? this.picked : [index]
    const steps = moved.map((at) => {
      const box = this.boxes[at]
      const { left, top } = this.pixels(box)
      const there = this.boxAt(left + dx, top + dy, box.size, "")
      return { x: there.x - box.x, y: there.y - box.y }
    })
    const least = (side) => steps.map((step) => step[side]).reduce((a, b) => (Math.abs(b) < Math.abs(a) ? b : a))
    const step = { x: least("x"), y: least("y") }
    return this.boxes.map((box, at) => (moved.includes(at) ? { ...box, x: box.x + step.x, y: box.y + step.y } : box))
  }

  /**
   * How far box `index` goes on a way of (`dx`, `dy`) if it falls in line with another box or the frame within `snap`
   * pixels, and the lines (`guides`) that it then lies on: `{axis: "x" | "y", at}`, a fraction of the frame.
   */
  aligned(index, dx, dy, snap) {
    const resting = this.boxes.filter((_, at) => at !== index && !this.picked.includes(at)).map((box) => this.pixels(box))
    const box = this.pixels(this.boxes[index])
    const along = (axis, start, length, way) => {
      const own = linesOf(box[start] + way, box.side)
      const all = [linesOf(0, length), ...resting.map((other) => linesOf(other[start], other.side))]
      const ways = all.flatMap(({ edges, middle }) => [
        ...edges.flatMap((edge) => own.edges.map((mine) => ({ by: edge - mine, at: edge }))),
        { by: middle - own.middle, at: middle },
      ])
      const best = ways.reduce((one, other) => (Math.abs(other.by) < Math.abs(one.by) ? other : one))
      return Math.abs(best.by) < snap ? { way: way + best.by, guides: [{ axis, at: best.at / length }] } : { way, guides: [] }
    }
    const across = along("x", "left", this.frame.width, dx)
    const down = along("y", "top", this.frame.height, dy)
    return { dx: across.way, dy: down.way, guides: [...across.guides, ...down.guides] }
  }

  /** The box with `corner` pulled to `point`, the opposite corner staying where it is. */
  withResized(index, corner, point, snap) {
    const { left, top, side } = this.pixels(this.boxes[index])
    const east = corner.includes("e")
    const south = corner.includes("s")
    const anchor = { x: east ? left : left + side, y: south ? top : top + side }
    // As far as the frame's edge, or where the corner is already.
    const x = clamp(point.x, Math.min(0, left), Math.max(this.frame.width, left + side))
    const y = clamp(point.y, Math.min(0, top), Math.max(this.frame.height, top + side))
    const reach = Math.max((x - anchor.x) * (east ? 1 : -1), (y - anchor.y) * (south ? 1 : -1))
    const size = this.sizeOf(reach, snap)
    const grown = size * longEdge(this.frame)
    const box = this.boxAt(
      east ? anchor.x : anchor.x - grown,
      south ? anchor.y : anchor.y - grown,
      size,
      this.boxes[index].name
    )
    return this.with(index, box)
  }

  // ---- helpers -------------------------------------------------------------------------------------------------

  with(index, box) {
    return this.boxes.map((other, at) => (at === index ? box : other))
  }

  sizeOf(side, snap) {
    const edge = longEdge(this.frame)
    const round = SNAP_SIZES.find((size) => Math.abs(size * edge - side) < snap)
    return round ?? clamp(side / edge, MIN_SIZE, MAX_SIZE)
  }

  boxAt(left, top, size, name) {
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
}

/** The boxes' sides as CSS percentages of the frame: what the stage draws. */
export function percentages(box, frame) {
  const { width, height } = sides(box, frame)
  return { left: box.x * 100, top: box.y * 100, width: width * 100, height: height * 100 }
}

const linesOf = (start, length) => ({ edges: [start, start + length], middle: start + length / 2 })
const clamp = (value, low, high) => Math.min(Math.max(value, low), high)
const within = (value, start, length) => value >= start && value <= start + length

function cornerAt(point, left, top, side, reach) {
  const near = (value, edge) => Math.abs(value - edge) <= reach
  const vertical = near(point.y, top) ? "n" : near(point.y, top + side) ? "s" : ""
  const horizontal = near(point.x, left) ? "w" : near(point.x, left + side) ? "e" : ""
  return vertical && horizontal ? vertical + horizontal : null
}
