/** The people of the last run as the stage shows them in their boxes: a face, and the pose that was drawn for them. */

import { element } from "./boxes_parts.js"
import { t } from "./strings.js"

const SVG = "http://www.w3.org/2000/svg"

/**
 * The person of each box, by the box's index. A box is found as the server finds it: by its name, then by its number.
 *
 * @param {{number: number, box: string?}[]} persons as `personsOf` has them
 */
export function seated(persons, boxes) {
  const plain = (name) => name.trim().split(/\s+/).join(" ").toLowerCase()
  const names = boxes.map((box) => plain(box.name))
  const seats = new Map()
  for (const person of persons) {
    const wanted = plain(person.box ?? "")
    const named = wanted ? names.indexOf(wanted) : -1
    seats.set(named < 0 ? person.number - 1 : named, person)
  }
  return seats
}

/** The parts of a box that show its person. */
export function personParts() {
  const face = element("img", { className: "rb-face", alt: "", draggable: false, hidden: true })
  const pose = document.createElementNS(SVG, "svg")
  pose.setAttribute("viewBox", "0 0 1000 1000")
  pose.setAttribute("class", "rb-pose")
  pose.setAttribute("aria-hidden", "true")
  pose.toggleAttribute("hidden", true)
  const path = document.createElementNS(SVG, "path")
  pose.append(path)
  face.addEventListener("error", () => (face.hidden = true))
  return { face, pose, path }
}

/**
 * Show `person` (undefined: nobody) in the parts of box `index`.
 * @param {{face: string?, pose: number[][]}?} person their face as an address
 */
export function showPerson({ face, pose, path }, person, index) {
  face.hidden = !person?.face
  if (person?.face && face.src !== person.face) face.src = person.face
  face.alt = person?.face ? t("Face of person {number}", { number: index + 1 }) : ""
  pose.toggleAttribute("hidden", !person?.pose?.length)
  path.setAttribute("d", (person?.pose ?? []).map(lineTo).join(""))
}

/** "M0 0L1 1": the path of a line given as x and y by turns. */
const lineTo = (line) => `M${line.join(" ")}`
