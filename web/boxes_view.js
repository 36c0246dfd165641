/** Draws the editor: builds its elements once and brings them up to date from the state. Binds no events. */

import { MAX_BOXES, sizeDescription, sizeText, SMALL_FACE } from "./boxes_format.js"
import { personParts, seated, showPerson } from "./boxes_people.js"
import { button, element, numberField, optionGroup, setText, setValue } from "./boxes_parts.js"
import { percentages } from "./boxes_placement.js"
import { t } from "./strings.js"

/** One a person, the same as in the server's previews; told apart by colour-blind eyes too (Okabe and Ito). */
export const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2", "#bbbbbb"]
const DARK = "#0072b2"
/** As many people as fit in a row with their sizes. */
const ROOMY = 4
const CORNERS = ["nw", "ne", "sw", "se"]
export class BoxesView {
  constructor() {
    this.root = element("div", { className: "realisid-boxes" })
    this.root.append(this.#buildBar(), this.#buildStage(), this.#buildStatus(), this.#buildPeople(), this.#buildFields())
  }

  #buildBar() {
    this.add = button("add", t("Add a person"), t("Person"))
    this.layout = element("select", { className: "rb-layout", title: t("Layouts and arrangements") })
    this.layout.setAttribute("aria-label", t("Layout"))
    this.layout.append(new Option(t("Layout"), ""), optionGroup(t("Group of"), peopleOptions()), optionGroup(t("Arrange"), [
      new Option(t("Mirror"), "mirror"),
      new Option(t("Centre"), "centre"),
      new Option(t("Space evenly"), "space"),
    ]))
    this.photo = button("photo", t("Put a box on every face in the background picture or in the connected boxes"), t("From photo"))
    this.backdropToggle = button("backdrop", t("Show the background picture"))
    this.enlarge = button("enlarge", t("Edit in a large window"))
    this.undo = button("undo", t("Undo (Ctrl+Z)"))
    this.redo = button("redo", t("Redo (Ctrl+Y)"))
    this.clear = button("clear", t("Remove all boxes"))
    const bar = element("div", { className: "rb-bar" })
    bar.setAttribute("role", "toolbar")
    bar.setAttribute("aria-label", t("Face boxes"))
    bar.append(this.add, this.layout, this.photo, this.backdropToggle, element("span", { className: "rb-space" }))
    bar.append(this.enlarge, this.undo, this.redo, this.clear)
    return bar
  }

  #buildStage() {
    // An empty title: the widget's own, which the page shows over all of it, would cover the stage.
    this.holder = element("div", { className: "rb-holder" })
    this.holder.setAttribute("title", "")
    this.stage = element("div", { className: "rb-stage" })
    this.backdrop = element("img", { className: "rb-backdrop", alt: "", draggable: false, hidden: true })
    // An input, not a div: the host's own undo and shortcuts leave the keys of inputs alone.
    this.keys = element("input", { className: "rb-keys", type: "button" })
    this.keys.setAttribute("aria-description", t(
      "Drag to draw a square. Arrow keys move the selected boxes, with Shift by more; Tab goes to the next, " +
        "Enter to its name, Delete removes it, Ctrl+D duplicates it, Ctrl+A selects all, Escape leaves the stage."
    ))
    this.hint = element("p", { className: "rb-hint", textContent: t("Drag to draw a square where a face goes") })
    this.unknown = element("p", { className: "rb-unknown", hidden: true })
    this.guides = {
      x: element("i", { className: "rb-guide rb-across", hidden: true }),
      y: element("i", { className: "rb-guide rb-down", hidden: true }),
    }
    this.stage.append(this.backdrop, this.keys, this.hint, this.unknown, ...Object.values(this.guides))
    this.holder.append(this.stage)
    this.boxes = []
    /** Who the last run has put into the boxes. */
    this.persons = []
    return this.holder
  }

  #buildStatus() {
    this.status = element("p", { className: "rb-status" })
    this.status.setAttribute("role", "status")
    return this.status
  }

  #buildPeople() {
    this.people = element("div", { className: "rb-people" })
    this.people.setAttribute("role", "group")
    this.people.setAttribute("aria-label", t("People in order"))
    return this.people
  }

  #buildFields() {
    this.name = element("input", { type: "text", className: "rb-name", placeholder: t("Name"), maxLength: 60, spellcheck: false })
    this.name.setAttribute("aria-label", t("Name of the selected person"))
    this.numbers = {
      left: numberField("X", t("Left edge in pixels")),
      top: numberField("Y", t("Top edge in pixels")),
      side: numberField(t("Side"), t("Side in pixels")),
      ratio: numberField("1/", t("Relative size: the picture's long edge over the side")),
    }
    this.earlier = button("earlier", t("Earlier: a lower person number, further back"))
    this.later = button("later", t("Later: a higher person number, further in front"))
    this.duplicate = button("duplicate", t("Duplicate (Ctrl+D)"))
    this.remove = button("remove", t("Remove (Delete)"))
    this.fields = element("fieldset", { className: "rb-fields" })
    this.fields.setAttribute("aria-label", t("Selected person"))
    const actions = element("span", { className: "rb-actions" })
    actions.append(this.earlier, this.later, this.duplicate, this.remove)
    const numbers = element("span", { className: "rb-numbers" })
    numbers.append(...Object.values(this.numbers).map((input) => input.parentElement))
    this.fields.append(this.name, actions, numbers)
    return this.fields
  }

  /**
   * @param {object} state a BoxesState
   * @param {object[]} boxes the boxes to show: the state's, or those of a gesture under way
   * @param {number[]} picked indices of the selected ones, the one that the fields show last
   * @param {{axis: string, at: number}[]} guides lines that a box being moved has come to lie on
   */
  render(state, boxes = state.boxes, picked = state.picked, guides = []) {
    const { frame, history } = state
    const stage = t("Stage, {width} by {height} pixels, {count} face boxes", { ...frame, count: boxes.length })
    if (this.keys.ariaLabel !== stage) {
      this.keys.ariaLabel = stage
      this.stage.style.setProperty("--rb-aspect", frame.width / frame.height)
      this.hint.hidden = boxes.length > 0
    }
    for (const axis of ["x", "y"]) {
      const guide = guides.find((each) => each.axis === axis)
      this.guides[axis].hidden = !guide
      if (guide) this.guides[axis].style[axis === "x" ? "left" : "top"] = `${guide.at * 100}%`
    }
    this.#countTo(boxes.length)
    const seats = seated(this.persons, boxes)
    boxes.forEach((box, index) => this.#renderBox(index, box, frame, picked.includes(index), seats.get(index)))
    this.#renderFields(state, boxes, picked)
    this.undo.disabled = !history.past.length
    this.redo.disabled = !history.future.length
    this.clear.disabled = !boxes.length && !state.error
    this.add.disabled = this.duplicate.disabled = state.boxes.length >= MAX_BOXES
    this.root.classList.toggle("rb-broken", Boolean(state.error))
    if (state.error) this.say(`${state.error} ${t("The stage is empty; drawing replaces the text.")}`)
  }

  #renderBox(index, box, frame, selected, person) {
    const parts = this.boxes[index]
    if (parts.person !== person) showPerson(parts, (parts.person = person), index)
    if (parts.box === box && parts.frame === frame && parts.selected === selected) return
    Object.assign(parts, { box, frame, selected })
    const { body, label, size, grip, chip, chipName, chipSize } = parts
    const at = percentages(box, frame)
    for (const side in at) body.style[side] = `${at[side]}%`
    body.classList.toggle("rb-selected", selected)
    const title = box.name || personTitle(index)
    setText(label, box.name)
    setText(size, sizeText(box.size))
    setText(chipName, title)
    setText(chipSize, sizeText(box.size))
    chip.classList.toggle("rb-unnamed", !box.name)
    chip.classList.toggle("rb-small", box.size < SMALL_FACE)
    body.classList.toggle("rb-small", box.size < SMALL_FACE)
    chip.title = `${index + 1}, ${title}: ${sizeDescription(box.size)}`
    chip.setAttribute("aria-label", chip.title)
    chip.setAttribute("aria-pressed", selected)
    const number = t("Face box {number}", { number: index + 1 })
    grip.setAttribute("aria-label", `${number}${box.name ? `, ${box.name}` : ""}: ${sizeDescription(box.size)}`)
  }

  #countTo(count) {
    while (this.boxes.length > count) {
      const { body, chip } = this.boxes.pop()
      body.remove()
      chip.remove()
    }
    while (this.boxes.length < count) this.boxes.push(this.#buildBox(this.boxes.length))
    this.people.classList.toggle("rb-many", count > ROOMY)
  }

  #buildBox(index) {
    const body = element("div", { className: "rb-box" })
    const grip = element("input", { type: "button", className: "rb-grip" })
    const tag = element("span", { className: "rb-tag" })
    const label = element("span", { className: "rb-label" })
    const size = element("span", { className: "rb-size" })
    tag.append(element("b", { textContent: index + 1 }), label, size)
    const person = personParts()
    body.append(person.pose, person.face, grip, tag, ...CORNERS.map((corner) => element("i", { className: `rb-corner rb-${corner}` })))

    const chip = element("button", { type: "button", className: "rb-chip" })
    const chipName = element("span", { className: "rb-chip-name" })
    const chipSize = element("small")
    chip.append(element("b", { textContent: index + 1 }), chipName, chipSize)
    const colour = COLOURS[index % COLOURS.length]
    for (const part of [body, chip]) {
      part.style.setProperty("--rb-colour", colour)
      part.style.setProperty("--rb-ink", colour === DARK ? "#fff" : "#111")
    }
    this.stage.append(body)
    this.people.append(chip)
    return { body, label, size, grip, chip, chipName, chipSize, ...person }
  }

  #renderFields(state, boxes, picked) {
    const selected = picked.at(-1) ?? -1
    const box = boxes[selected]
    const one = picked.length === 1
    this.fields.disabled = !box
    const at = box && state.pixels(box)
    setValue(this.name, box?.name ?? "")
    this.name.placeholder = box ? t("Name of person {number}", { number: selected + 1 }) : t("Select a box")
    for (const field of ["left", "top", "side"]) setValue(this.numbers[field], box ? tenths(at[field]) : "")
    setValue(this.numbers.ratio, box ? hundredths(1 / box.size) : "")
    this.earlier.disabled = !one || selected <= 0
    this.later.disabled = !one || selected >= boxes.length - 1
    if (one) this.say(`${box.name || personTitle(selected)}: ${sizeDescription(box.size)}`)
    else if (box) this.say(t("{count} of {most} people selected", { count: picked.length, most: boxes.length }))
    else this.say(boxes.length ? t("{count} of {most} people", { count: boxes.length, most: MAX_BOXES }) : "")
  }

  say(text) {
    setText(this.status, text)
  }

  /** Say that the stage's shape is a guess, because the size comes from a node (`origin`, its title) that has not run. */
  showUnknown(unknown, origin) {
    this.unknown.hidden = !unknown
    this.stage.classList.toggle("rb-guessed", unknown)
    setText(this.unknown, origin
      ? t("The size comes from “{title}”. It is known after a run; until then the shape is a guess.", { title: origin })
      : t("The size comes from another node. It is known after a run; until then the shape is a guess."))
  }

  /** Show the picture at `url` behind the boxes, or none. */
  showBackdrop(url) {
    this.backdrop.hidden = !url
    if (url && this.backdrop.src !== url) this.backdrop.src = url
  }

  /** Keep handles the same size on the screen while the canvas is zoomed out. */
  matchZoom() {
    const zoom = this.stage.getBoundingClientRect().width / (this.stage.offsetWidth || 1)
    this.stage.style.setProperty("--rb-handle", `${11 / Math.min(Math.max(zoom, 0.25), 1)}px`)
  }
}

const peopleOptions = () =>
  Array.from({ length: MAX_BOXES }, (_, i) => new Option(i ? t("{count} people", { count: i + 1 }) : t("1 person"), `people ${i + 1}`))

const personTitle = (index) => t("Person {number}", { number: index + 1 })
const tenths = (value) => Number(value.toFixed(1))
const hundredths = (value) => Number(value.toFixed(2))
