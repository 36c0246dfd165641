/** Arrangements of face boxes: group portraits of one to eight people, and changes to the boxes there are. */

import { longEdge, sides } from "./boxes_format.js"

const LARGEST = 1 / 3
/** A face's side over its share of the row, and over its share of the frame's height. */
const SHARE_OF_SLOT = 0.6
const SHARE_OF_HEIGHT = 0.4

/** `count` equal faces in one row, or in two where one would make them small: even, mirrored, centred. */
export function peopleLayout(count, frame) {
  const perRow = frame.width > frame.height ? 4 : 3
  const rows = count <= perRow ? [count] : [Math.floor(count / 2), Math.ceil(count / 2)]
  const widest = Math.max(...rows)
  const side = Math.min(
    (frame.width / widest) * SHARE_OF_SLOT,
    frame.height * (SHARE_OF_HEIGHT / rows.length) * (rows.length > 1 ? 1.4 : 1),
    longEdge(frame) * LARGEST
  )
  const size = side / longEdge(frame)
  const heights = rows.length > 1 ? [0.28, 0.62] : [0.4]
  return rows.flatMap((people, row) =>
    Array.from({ length: people }, (_, column) => {
      const slot = frame.width / widest
      const centre = frame.width / 2 + (column - (people - 1) / 2) * slot
      return { x: (centre - side / 2) / frame.width, y: heights[row] - side / 2 / frame.height, size, name: "" }
    })
  )
}

/** The boxes seen in a mirror. */
export function mirrored(boxes, frame) {
  return boxes.map((box) => ({ ...box, x: 1 - box.x - sides(box, frame).width }))
}

/** The boxes moved together so that the whole group sits in the middle of the frame. */
export function centred(boxes, frame) {
  const middle = (start, length) => {
    const low = Math.min(...boxes.map((box) => box[start]))
    const high = Math.max(...boxes.map((box) => box[start] + sides(box, frame)[length]))
    return 0.5 - (low + high) / 2
  }
  const dx = middle("x", "width")
  const dy = middle("y", "height")
  return boxes.map((box) => ({ ...box, x: box.x + dx, y: box.y + dy }))
}

/**
 * The boxes of each row spread over the frame's width with equal gaps between them and at both edges, in their order from
 * left. Where a row is wider than the frame, its first and last box touch the edges and the others overlap evenly.
 */
export function spacedEvenly(boxes, frame) {
  const spaced = [...boxes]
  for (const row of rowsOf(boxes, frame)) {
    const widths = row.map((index) => sides(boxes[index], frame).width)
    const free = 1 - widths.reduce((sum, width) => sum + width, 0)
    const gap = free >= 0 ? free / (row.length + 1) : free / Math.max(row.length - 1, 1)
    let left = free >= 0 || row.length === 1 ? free / (free >= 0 ? row.length + 1 : 2) : 0
    row.forEach((index, at) => {
      spaced[index] = { ...boxes[index], x: left }
      left += widths[at] + gap
    })
  }
  return spaced
}

/** Indices of the boxes in rows from above, each from left. A box is in a row if its middle lies level with the row's boxes. */
function rowsOf(boxes, frame) {
  const middle = (index, start, length) => boxes[index][start] + sides(boxes[index], frame)[length] / 2
  const down = (index) => middle(index, "y", "height")
  const across = (index) => middle(index, "x", "width")
  const level = (one, other) => {
    const reach = Math.max(sides(boxes[one], frame).height, sides(boxes[other], frame).height) / 2
    return Math.abs(down(one) - down(other)) < reach
  }
  const rows = []
  for (const index of [...boxes.keys()].sort((a, b) => down(a) - down(b))) {
    const row = rows.at(-1)
    if (row?.every((other) => level(index, other))) row.push(index)
    else rows.push([index])
  }
  return rows.map((row) => row.sort((a, b) => across(a) - across(b)))
}

/** Where a new box of `size` goes: the spot of a coarse grid farthest from the boxes there are. */
export function freePlace(boxes, size, frame) {
  const { width, height } = frame
  const side = size * longEdge(frame)
  const centres = boxes.map((box) => {
    const half = (box.size * longEdge(frame)) / 2
    return { x: box.x * width + half, y: box.y * height + half }
  })
  const spots = [0.5, 0.25, 0.75].flatMap((fy) => [0.5, 0.25, 0.75].map((fx) => ({ x: fx * width, y: fy * height })))
  const room = (spot) => Math.min(Infinity, ...centres.map((centre) => Math.hypot(spot.x - centre.x, spot.y - centre.y)))
  const spot = spots.reduce((best, next) => (room(next) > room(best) + 1e-6 ? next : best))
  return { x: (spot.x - side / 2) / width, y: (spot.y - side / 2) / height, size }
}
