/** Draws the editor: builds its elements once and brings them up to date from the state. Binds no events. */

import { MAX_BOXES, sizeDescription, sizeText, SMALL_FACE } from "./boxes_format.js"
import { percentages } from "./boxes_state.js"

/** One a person, the same as in the server's previews; told apart by colour-blind eyes too (Okabe and Ito). */
const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2", "#bbbbbb"]
const DARK = "#0072b2"
/** As many people as fit in a row with their sizes. */
const ROOMY = 4
const ICONS = {
  add: "M8 3v10M3 8h10",
  photo: "M2.5 4.5h2l1-1.5h5l1 1.5h2v8h-11zM8 10.6a2.2 2.2 0 1 0 0-4.4a2.2 2.2 0 0 0 0 4.4",
  backdrop: "M2.5 3.5h11v9h-11zM3 11l3-3 2 2 2.5-3L13 10.5M5.5 6.4h.1",
  undo: "M5.5 3.5L3 6l2.5 2.5M3 6h6.5a3.2 3.2 0 0 1 0 6.5H7",
  redo: "M10.5 3.5L13 6l-2.5 2.5M13 6H6.5a3.2 3.2 0 0 0 0 6.5H9",
  clear: "M3 4.5h10M6.5 4.5v-1.5h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.8M9.2 7v3.8",
  earlier: "M10 3.5L5.5 8l4.5 4.5",
  later: "M6 3.5L10.5 8L6 12.5",
  duplicate: "M6 6h7v7h-7zM3.5 10h-.5v-7h7v.5",
  remove: "M4.5 4.5l7 7M11.5 4.5l-7 7",
}
const CORNERS = ["nw", "ne", "sw", "se"]
const KEYS =
  "Drag to draw a square. Arrow keys move the selected box, with Shift by more; Tab goes to the next, " +
  "Enter to its name, Delete removes it, Ctrl+D duplicates it, Escape leaves the stage."

export class BoxesView {
  constructor() {
    this.root = element("div", { className: "realisid-boxes" })
    this.root.append(this.#buildBar(), this.#buildStage(), this.#buildStatus(), this.#buildPeople(), this.#buildFields())
  }

  #buildBar() {
    this.add = button("add", "Add a person", "Person")
    this.layout = element("select", { className: "rb-layout", title: "Layouts and arrangements" })
    this.layout.setAttribute("aria-label", "Layout")
    this.layout.append(new Option("Layout", ""), optionGroup("Group of", peopleOptions()), optionGroup("Arrange", [
      new Option("Mirror", "mirror"),
      new Option("Centre", "centre"),
      new Option("Space evenly", "space"),
    ]))
    this.photo = button("photo", "Put a box on every face in the background picture or in the connected boxes", "From photo")
    this.backdropToggle = button("backdrop", "Show the background picture")
    this.undo = button("undo", "Undo (Ctrl+Z)")
    this.redo = button("redo", "Redo (Ctrl+Y)")
    this.clear = button("clear", "Remove all boxes")
    const bar = element("div", { className: "rb-bar" })
    bar.setAttribute("role", "toolbar")
    bar.setAttribute("aria-label", "Face boxes")
    bar.append(this.add, this.layout, this.photo, this.backdropToggle, element("span", { className: "rb-space" }))
    bar.append(this.undo, this.redo, this.clear)
    return bar
  }

  #buildStage() {
    this.holder = element("div", { className: "rb-holder" })
    this.stage = element("div", { className: "rb-stage" })
    this.backdrop = element("img", { className: "rb-backdrop", alt: "", draggable: false, hidden: true })
    // An input, not a div: the host's own undo and shortcuts leave the keys of inputs alone.
    this.keys = element("input", { className: "rb-keys", type: "button" })
    this.keys.setAttribute("aria-description", KEYS)
    this.hint = element("p", { className: "rb-hint", textContent: "Drag to draw a square where a face goes" })
    this.stage.append(this.backdrop, this.keys, this.hint)
    this.holder.append(this.stage)
    this.boxes = []
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
    this.people.setAttribute("aria-label", "People in order")
    return this.people
  }

  #buildFields() {
    this.name = element("input", { type: "text", className: "rb-name", placeholder: "Name", maxLength: 60, spellcheck: false })
    this.name.setAttribute("aria-label", "Name of the selected person")
    this.numbers = {
      left: numberField("X", "Left edge in pixels"),
      top: numberField("Y", "Top edge in pixels"),
      side: numberField("Side", "Side in pixels"),
      ratio: numberField("1/", "Relative size: the picture's long edge over the side"),
    }
    this.earlier = button("earlier", "Earlier: a lower person number, further back")
    this.later = button("later", "Later: a higher person number, further in front")
    this.duplicate = button("duplicate", "Duplicate (Ctrl+D)")
    this.remove = button("remove", "Remove (Delete)")
    this.fields = element("fieldset", { className: "rb-fields" })
    this.fields.setAttribute("aria-label", "Selected person")
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
   * @param {number} selected
   */
  render(state, boxes = state.boxes, selected = state.selected) {
    const { frame } = state
    const stage = `Stage, ${frame.width} by ${frame.height} pixels, ${boxes.length} face boxes`
    if (this.keys.ariaLabel !== stage) {
      this.keys.ariaLabel = stage
      this.stage.style.setProperty("--rb-aspect", frame.width / frame.height)
      this.hint.hidden = boxes.length > 0
    }
    this.#countTo(boxes.length)
    boxes.forEach((box, index) => this.#renderBox(index, box, frame, index === selected))
    this.#renderFields(state, boxes[selected], selected, boxes.length)
    this.undo.disabled = !state.past.length
    this.redo.disabled = !state.future.length
    this.clear.disabled = !boxes.length && !state.error
    this.add.disabled = this.duplicate.disabled = state.boxes.length >= MAX_BOXES
    this.root.classList.toggle("rb-broken", Boolean(state.error))
    if (state.error) this.say(`${state.error} The stage is empty; drawing replaces the text.`)
  }

  #renderBox(index, box, frame, selected) {
    const parts = this.boxes[index]
    if (parts.box === box && parts.frame === frame && parts.selected === selected) return
    Object.assign(parts, { box, frame, selected })
    const { body, label, size, grip, chip, chipName, chipSize } = parts
    const at = percentages(box, frame)
    for (const side in at) body.style[side] = `${at[side]}%`
    body.classList.toggle("rb-selected", selected)
    const title = box.name || `Person ${index + 1}`
    setText(label, box.name)
    setText(size, sizeText(box.size))
    setText(chipName, title)
    setText(chipSize, sizeText(box.size))
    chip.classList.toggle("rb-small", box.size < SMALL_FACE)
    body.classList.toggle("rb-small", box.size < SMALL_FACE)
    chip.title = `${title}: ${sizeDescription(box.size)}`
    chip.setAttribute("aria-pressed", selected)
    grip.setAttribute("aria-label", `Face box ${index + 1}${box.name ? `, ${box.name}` : ""}: ${sizeDescription(box.size)}`)
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
    body.append(grip, tag, ...CORNERS.map((corner) => element("i", { className: `rb-corner rb-${corner}` })))

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
    return { body, label, size, grip, chip, chipName, chipSize }
  }

  #renderFields(state, box, selected, count) {
    this.fields.disabled = !box
    const at = box && state.pixels(box)
    setValue(this.name, box?.name ?? "")
    this.name.placeholder = box ? `Name of person ${selected + 1}` : "Select a box"
    for (const field of ["left", "top", "side"]) setValue(this.numbers[field], box ? tenths(at[field]) : "")
    setValue(this.numbers.ratio, box ? hundredths(1 / box.size) : "")
    this.earlier.disabled = selected <= 0
    this.later.disabled = selected < 0 || selected >= count - 1
    if (box) this.say(`${box.name || `Person ${selected + 1}`}: ${sizeDescription(box.size)}`)
    else this.say(count ? `${count} of ${MAX_BOXES} people` : "")
  }

  say(text) {
    setText(this.status, text)
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

function element(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties)
}

function button(icon, title, text = "") {
  const made = element("button", { type: "button", className: "rb-button", title })
  made.setAttribute("aria-label", title)
  made.dataset.action = icon
  const space = "http://www.w3.org/2000/svg"
  const svg = document.createElementNS(space, "svg")
  svg.setAttribute("viewBox", "0 0 16 16")
  svg.setAttribute("aria-hidden", "true")
  const path = document.createElementNS(space, "path")
  path.setAttribute("d", ICONS[icon])
  svg.append(path)
  made.append(svg)
  if (text) made.append(element("span", { textContent: text }))
  return made
}

function numberField(text, title) {
  const label = element("label", { className: "rb-number", title })
  const input = element("input", { type: "number", step: "any" })
  input.setAttribute("aria-label", title)
  label.append(element("span", { textContent: text }), input)
  return input
}

const peopleOptions = () =>
  Array.from({ length: MAX_BOXES }, (_, i) => new Option(i ? `${i + 1} people` : "1 person", `people ${i + 1}`))

function optionGroup(label, options) {
  const group = element("optgroup", { label })
  group.append(...options)
  return group
}

function setText(target, text) {
  if (target.textContent !== text) target.textContent = text
}

/** A field that is being typed in is left alone. */
function setValue(input, value) {
  if (document.activeElement !== input && input.value !== String(value)) input.value = value
}

const tenths = (value) => Number(value.toFixed(1))
const hundredths = (value) => Number(value.toFixed(2))
