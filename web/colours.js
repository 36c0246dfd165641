/**
 * A colour for each socket type of the pack. A theme that has one of its own for a type keeps it; else these hold, on any
 * theme: each is told from the nodes of a dark and of a light page (contrast 3 : 1). Nodes 2.0 takes them from colours.css.
 */

import { app } from "../../scripts/app.js"

export const COLOURS = {
  REALISID_MODEL: "#a46bf5",
  FACES: "#cc7229",
  ID_EMBEDDING: "#ed535e",
  FACE_BOXES: "#378fd1",
  PERSONS: "#239c5e",
  FACE_LANDMARKS: "#e152ad",
  BOUNDING_BOX: "#1c9898",
  BOUNDING_BOXES: "#9a8a20",
}

/** Sockets that take several types, as nodes of the pack have them: "FACES,BOUNDING_BOX". They look like the first. */
const unions = new Set()

/** Take note of the sockets of one of the pack's nodes. */
export function noteSockets({ input = {} }) {
  const types = [input.required, input.optional].flatMap((inputs) => Object.values(inputs ?? {}).map(([type]) => type))
  for (const type of types) if (typeof type === "string" && type.includes(",")) unions.add(type)
}

/** Colour sockets and wires of the canvas. */
export function colourSockets() {
  for (const table of [app.canvas.default_connection_color_byType, app.canvas.constructor.link_type_colors]) {
    for (const type in COLOURS) standIn(table, type, () => COLOURS[type])
    for (const type of unions) standIn(table, type, () => table[type.split(",")[0]])
  }
}

/** The page empties its tables of colours and fills them again with every theme: `own` holds wherever it leaves none. */
function standIn(table, type, own) {
  let given = table[type]
  Object.defineProperty(table, type, {
    get: () => given || own(),
    set: (colour) => (given = colour),
    configurable: true,
    enumerable: true,
  })
}
