/**
 * The text form of face boxes (docs/boxes.md) and its rules, equal to those of `parse_boxes` on the server.
 *
 * A box here is `{x, y, size, name}`: its top-left corner in fractions of the frame's width and height, its side over
 * the frame's long edge. A frame is `{width, height}` in pixels.
 */

export const FORMAT_VERSION = 1
export const MAX_BOXES = 8
export const SMALL_FACE = 1 / 6
export const LONGEST_NAME = 200 // characters
const LARGEST_SIZE = 8 // long edges of the frame
const LONGEST_TEXT = 100_000 // characters
const SQUARE_TOLERANCE = 0.02
const DECIMALS = 5
const EXAMPLE = '{"x": 0.3, "y": 0.2, "size": 0.25}'

export const longEdge = (frame) => Math.max(frame.width, frame.height)

/** The box's sides in fractions of the frame's width and height. */
export function sides(box, frame) {
  const side = box.size * longEdge(frame)
  return { width: side / frame.width, height: side / frame.height }
}

/** The boxes that `text` describes. Throws an Error that names the box and the rule it breaks. */
export function parseBoxes(text, frame) {
  const entries = text.trim() === "" ? [] : boxEntries(readJSON(text))
  if (entries.length > MAX_BOXES) {
    throw new Error(`${entries.length} face boxes were given; at most ${MAX_BOXES} people fit one picture.`)
  }
  return entries.map((entry, index) => parseBox(entry, index + 1, frame))
}

/** The text of the boxes, the same for the editor and for people who write it by hand. */
export function formatBoxes(boxes) {
  const entries = boxes.map(({ x, y, size, name }) => ({
    x: rounded(x),
    y: rounded(y),
    size: rounded(size),
    ...(name ? { name } : {}),
  }))
  return JSON.stringify({ version: FORMAT_VERSION, boxes: entries })
}

/** "1/6.2": the relative size as papers write it. */
export function sizeText(size) {
  return size > 1 ? `${trimmed(size)}×` : `1/${trimmed(1 / size)}`
}

/** "1/6.2, small face": what the editor shows and says of a box. */
export function sizeDescription(size) {
  return sizeText(size) + (size < SMALL_FACE ? ", small face" : "")
}

export const rounded = (value) => Number(value.toFixed(DECIMALS))
const trimmed = (value) => String(Number(value.toFixed(1)))

function readJSON(text) {
  if (text.length > LONGEST_TEXT) {
    throw new Error(`The boxes are a text of ${text.length} characters; at most ${LONGEST_TEXT} are read.`)
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new Error(`The boxes are not JSON: ${error.message}. Expected a list such as [${EXAMPLE}].`)
  }
}

function boxEntries(value) {
  let entries = value
  if (isObject(value)) {
    const version = value.version ?? FORMAT_VERSION
    if (version !== FORMAT_VERSION) {
      throw new Error(
        `The boxes have format version ${JSON.stringify(version)}; this pack reads version ${FORMAT_VERSION}.`
      )
    }
    entries = value.boxes
  }
  if (!Array.isArray(entries)) {
    throw new Error(`The boxes are ${JSON.stringify(entries)}; expected a list such as [${EXAMPLE}].`)
  }
  return entries
}

function parseBox(entry, number, frame) {
  if (!isObject(entry)) {
    throw new Error(`Face box ${number} is ${JSON.stringify(entry)}; expected an object such as ${EXAMPLE}.`)
  }
  const name = entry.name ?? ""
  if (typeof name !== "string") {
    throw new Error(`Face box ${number} has the name ${JSON.stringify(name)}; "name" must be text.`)
  }
  if ([...name].length > LONGEST_NAME) {
    throw new Error(`The name of face box ${number} is too long; at most ${LONGEST_NAME} characters are kept.`)
  }
  const keys = "size" in entry ? ["x", "y", "size"] : ["x", "y", "width", "height"]
  for (const key of keys) requireNumber(entry, key, number)

  const title = `Face box ${number}` + (name ? ` (${name})` : "")
  if (!keys.every((key) => Number.isFinite(entry[key]))) {
    throw new Error(`${title} has a value that is not a finite number.`)
  }
  const size = "size" in entry ? entry.size : sizeOfRectangle(entry, frame, title)
  if (size <= 0) throw new Error(`${title} has the size ${size}; a side must be greater than zero.`)

  const box = { x: entry.x, y: entry.y, size, name }
  if (isOutside(box, frame)) {
    throw new Error(`${title} lies wholly outside the frame: x ${box.x}, y ${box.y}. Move it inside.`)
  }
  if (box.size > LARGEST_SIZE) {
    throw new Error(
      `${title} is ${box.size} times as large as the frame; at most ${LARGEST_SIZE} times. ` +
        "Give sizes in fractions of the long edge, not in pixels."
    )
  }
  return box
}

function requireNumber(entry, key, number) {
  if (!(key in entry)) throw new Error(`Face box ${number} has no "${key}"; expected x, y and size.`)
  if (typeof entry[key] !== "number") {
    throw new Error(`Face box ${number} has "${key}": ${JSON.stringify(entry[key])}; expected a number.`)
  }
}

function sizeOfRectangle({ width, height }, frame, title) {
  if (width <= 0 || height <= 0) {
    throw new Error(`${title} has sides ${width} × ${height}; a side must be greater than zero.`)
  }
  const across = width * frame.width
  const down = height * frame.height
  if (Math.abs(across - down) > SQUARE_TOLERANCE * Math.max(across, down) + 1) {
    throw new Error(
      `${title} is ${across.toFixed(1)} × ${down.toFixed(1)} pixels in a ${frame.width}×${frame.height} frame; ` +
        'a face box must be square. Give its side as "size" (a fraction of the long edge) and it always is.'
    )
  }
  return Math.max(across, down) / longEdge(frame)
}

function isOutside(box, frame) {
  const { width, height } = sides(box, frame)
  return box.x >= 1 || box.y >= 1 || box.x + width <= 0 || box.y + height <= 0
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value)
