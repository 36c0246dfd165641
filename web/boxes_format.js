/**
 * The text form of face boxes (docs/boxes.md) and its rules, equal to those of `parse_boxes` on the server.
 *
 * A box here is `{x, y, size, name}`: its top-left corner in fractions of the frame's width and height, its side over
 * the frame's long edge. A frame is `{width, height}` in pixels.
 */

import { t } from "./strings.js"

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
    const values = { count: entries.length, most: MAX_BOXES }
    throw new Error(t("{count} face boxes were given; at most {most} people fit one picture.", values))
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
  return size < SMALL_FACE ? t("{size}, small face", { size: sizeText(size) }) : sizeText(size)
}

export const rounded = (value) => Number(value.toFixed(DECIMALS))
const trimmed = (value) => String(Number(value.toFixed(1)))

function readJSON(text) {
  if (text.length > LONGEST_TEXT) {
    const values = { found: text.length, most: LONGEST_TEXT }
    throw new Error(t("The boxes are a text of {found} characters; at most {most} are read.", values))
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    const values = { error: error.message, example: `[${EXAMPLE}]` }
    throw new Error(t("The boxes are not JSON: {error}. Expected a list such as {example}.", values))
  }
}

function boxEntries(value) {
  let entries = value
  if (isObject(value)) {
    const version = value.version ?? FORMAT_VERSION
    if (version !== FORMAT_VERSION) {
      const values = { found: JSON.stringify(version), own: FORMAT_VERSION }
      throw new Error(t("The boxes have format version {found}; this pack reads version {own}.", values))
    }
    entries = value.boxes
  }
  if (!Array.isArray(entries)) {
    const values = { found: JSON.stringify(entries), example: `[${EXAMPLE}]` }
    throw new Error(t("The boxes are {found}; expected a list such as {example}.", values))
  }
  return entries
}

function parseBox(entry, number, frame) {
  if (!isObject(entry)) {
    const values = { number, found: JSON.stringify(entry), example: EXAMPLE }
    throw new Error(t("Face box {number} is {found}; expected an object such as {example}.", values))
  }
  const name = entry.name ?? ""
  if (typeof name !== "string") {
    const values = { number, found: JSON.stringify(name) }
    throw new Error(t('Face box {number} has the name {found}; "name" must be text.', values))
  }
  if ([...name].length > LONGEST_NAME) {
    const values = { number, most: LONGEST_NAME }
    throw new Error(t("The name of face box {number} is too long; at most {most} characters are kept.", values))
  }
  const keys = "size" in entry ? ["x", "y", "size"] : ["x", "y", "width", "height"]
  for (const key of keys) requireNumber(entry, key, number)

  const title = t("Face box {number}", { number }) + (name ? ` (${name})` : "")
  if (!keys.every((key) => Number.isFinite(entry[key]))) {
    throw new Error(t("{title} has a value that is not a finite number.", { title }))
  }
  const size = "size" in entry ? entry.size : sizeOfRectangle(entry, frame, title)
  if (size <= 0) throw new Error(t("{title} has the size {size}; a side must be greater than zero.", { title, size }))

  const box = { x: entry.x, y: entry.y, size, name }
  if (isOutside(box, frame)) {
    throw new Error(t("{title} lies wholly outside the frame: x {x}, y {y}. Move it inside.", { title, ...box }))
  }
  if (box.size > LARGEST_SIZE) {
    throw new Error(t(
      "{title} is {size} times as large as the frame; at most {most} times. " +
        "Give sizes in fractions of the long edge, not in pixels.",
      { title, size: box.size, most: LARGEST_SIZE }
    ))
  }
  return box
}

function requireNumber(entry, key, number) {
  if (!(key in entry)) throw new Error(t('Face box {number} has no "{key}"; expected x, y and size.', { number, key }))
  if (typeof entry[key] !== "number") {
    const values = { number, key, found: JSON.stringify(entry[key]) }
    throw new Error(t('Face box {number} has "{key}": {found}; expected a number.', values))
  }
}

function sizeOfRectangle({ width, height }, frame, title) {
  if (width <= 0 || height <= 0) {
    throw new Error(t("{title} has sides {width} × {height}; a side must be greater than zero.", { title, width, height }))
  }
  const across = width * frame.width
  const down = height * frame.height
  if (Math.abs(across - down) > SQUARE_TOLERANCE * Math.max(across, down) + 1) {
    const values = { title, across: across.toFixed(1), down: down.toFixed(1), ...frame }
    throw new Error(t(
      "{title} is {across} × {down} pixels in a {width}×{height} frame; a face box must be square. " +
        'Give its side as "size" (a fraction of the long edge) and it always is.',
      values
    ))
  }
  return Math.max(across, down) / longEdge(frame)
}

function isOutside(box, frame) {
  const { width, height } = sides(box, frame)
  return box.x >= 1 || box.y >= 1 || box.x + width <= 0 || box.y + height <= 0
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value)
