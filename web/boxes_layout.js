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

/** The boxes spread over the frame's width with equal gaps between them and at both edges, in their order from left. */
export function spacedEvenly(boxes, frame) {
  const widthOf = (box) => sides(box, frame).width
  const order = [...boxes.keys()].sort((a, b) => boxes[a].x + widthOf(boxes[a]) / 2 - boxes[b].x - widthOf(boxes[b]) / 2)
  const gap = (1 - boxes.reduce((sum, box) => sum + widthOf(box), 0)) / (boxes.length + 1)
  const spaced = [...boxes]
  let left = gap
  for (const index of order) {
    spaced[index] = { ...boxes[index], x: left }
    left += widthOf(boxes[index]) + gap
  }
  return spaced
}
