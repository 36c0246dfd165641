/** The location-box editor: turns buttons, fields and menus into operations on the state, and redraws. */

import { openDialog } from "./boxes_dialog.js"
import { bindDrop } from "./boxes_drop.js"
import { MAX_BOXES } from "./boxes_format.js"
import { bindKeys } from "./boxes_keys.js"
import { boxItems, stageItems } from "./boxes_items.js"
import { openMenu } from "./boxes_menu.js"
import { Pointer } from "./boxes_pointer.js"
import { BoxesState } from "./boxes_state.js"
import { BoxesView } from "./boxes_view.js"
import { t } from "./strings.js"

export class BoxesEditor {
  /**
   * @param {object} host
   * @param {(text: string) => void} host.changed the boxes have a new text
   * @param {() => Promise<string>} host.facesOfPhoto boxes found in the background picture, as text; rejects with a reason
   * @param {() => void} host.toggleBackdrop
   * @param {(before: number[][], after: number[][]) => void} host.pinched two fingers moved on the screen
   * @param {((file: File, index: number) => Promise<string>)?} host.takePhoto a photo is to be of the person of box `index`,
   *   or, with -1, behind the boxes: returns what has been done, rejects with a reason
   * @param {((size: {width: number, height: number}) => void)?} host.setSize the picture is to have another size
   */
  constructor(frame, host) {
    this.host = host
    this.state = new BoxesState(frame)
    this.view = new BoxesView()
    this.proposed = null
    this.guest = null
    this.pointer = new Pointer(this)
    bindKeys(this)
    bindDrop(this)
    this.#bindButtons()
    this.view.holder.addEventListener("contextmenu", (event) => this.#openMenu(event))
    this.render()
  }

  get element() {
    return this.view.root
  }

  /** Empty while the stage shows a proposal as it is. */
  get text() {
    return this.showsProposal ? "" : this.state.text
  }

  set text(text) {
    if (text === this.text) return
    this.proposed = null
    this.pointer.cancel()
    this.state.load(text)
    this.render()
  }

  /** Show boxes that come from elsewhere, as a step that can be undone; they stay out of the text until one is changed. */
  propose(text) {
    const own = this.state.text !== this.proposed
    this.proposed = text
    if (text === this.state.text) return
    this.pointer.cancel()
    this.state.show(text, own)
    this.render()
    if (this.state.boxes.length) this.say(t("The connected boxes; they are yours once you change one."))
  }

  get showsProposal() {
    return Boolean(this.proposed) && this.state.text === this.proposed
  }

  /** Show the boxes of another text, which cannot be changed here, and `why`; null: one's own again. */
  showGuest(text, why = "") {
    this.guest = null
    if (text !== null) {
      this.guest = new BoxesState(this.state.frame)
      this.guest.load(text)
    }
    for (const part of this.view.root.children) part.inert = text !== null && part !== this.view.status
    this.view.root.classList.toggle("rb-guest", text !== null)
    this.why = why
    this.render()
  }

  /** @param {object[]} persons who the last run has put into the boxes, with faces as addresses */
  showPersons(persons) {
    if (JSON.stringify(persons) === JSON.stringify(this.view.persons)) return
    this.view.persons = persons
    if (!this.isDragging) this.render()
  }

  /** @param {string} origin the title of the node that the size comes from */
  setFrame(frame, origin = "") {
    const { width, height, known } = this.state.frame
    this.view.showUnknown(frame.known === false, origin)
    if (frame.width === width && frame.height === height && frame.known === known) return
    this.state.setFrame(frame)
    this.guest?.setFrame(frame)
    this.render()
  }

  render() {
    this.view.render(this.guest ?? this.state)
    if (this.guest) this.say(this.guest.error || this.why)
  }

  say(text) {
    this.view.say(text)
  }

  /** Run `operation`, redraw, and tell the host if the text changed; `refusal` is what to say if it did nothing. */
  do(operation, refusal = "") {
    const before = this.text
    const done = operation(this.state)
    this.render()
    if (!done && refusal) this.say(refusal)
    if (this.text !== before) this.host.changed(this.text)
    return done
  }

  get isFull() {
    return this.state.boxes.length >= MAX_BOXES
  }

  get fullText() {
    return t("At most {most} people fit one picture.", { most: MAX_BOXES })
  }

  refuse() {
    this.do(() => false, this.fullText)
  }

  get isDragging() {
    return Boolean(this.pointer.gesture)
  }

  select(index) {
    this.state.select(index)
    this.render()
  }

  toggle(index) {
    this.state.toggle(index)
    this.render()
  }

  /** Returns whether there was a box to go to. */
  cycle(direction) {
    this.state.cycle(direction)
    this.render()
    return this.state.boxes.length > 0
  }

  /** Escape: give up a drag, then leave the stage. */
  leave() {
    if (this.pointer.cancel()) return
    this.select(-1)
    const { add, layout } = this.view
    const next = add.disabled ? layout : add
    next.focus()
  }

  /** Put the focus where the keys act: on the selected box, else on the stage. */
  focusStage() {
    const target = this.view.boxes[this.state.selected]?.grip ?? this.view.keys
    target.focus({ preventScroll: true })
  }

  /** What is typed belongs to the box that is selected now, not to the one about to be. */
  finishTyping() {
    const { activeElement } = document
    if (this.view.fields.contains(activeElement)) activeElement.blur()
  }

  // ---- buttons and fields --------------------------------------------------------------------------------------

  #bindButtons() {
    const { view } = this
    const operations = {
      undo: (state) => state.undo(),
      redo: (state) => state.redo(),
      clear: (state) => state.clear(),
      earlier: (state) => state.reorder(-1),
      later: (state) => state.reorder(1),
      duplicate: (state) => state.duplicate(),
      remove: (state) => state.remove(),
    }
    for (const [name, operation] of Object.entries(operations)) this.#onClick(view[name], () => this.do(operation))
    this.#onClick(view.add, () => this.do((state) => state.add(), this.fullText))
    this.#onClick(view.backdropToggle, () => this.host.toggleBackdrop())
    this.#onClick(view.photo, () => this.#takeFaces())
    view.enlarge.addEventListener("click", () => openDialog(this, t("Face boxes")))
    view.layout.addEventListener("change", () => this.#chooseLayout())
    view.people.addEventListener("click", (event) => {
      const index = view.boxes.findIndex(({ chip }) => chip.contains(event.target))
      if (index < 0) return
      if (event.shiftKey) this.toggle(index)
      else this.select(index)
      if (event.detail > 0) this.focusStage()
    })
    view.name.addEventListener("input", () => this.do((state) => state.rename(state.selected, view.name.value)))
    view.name.addEventListener("keydown", ({ key }) => ["Enter", "Escape"].includes(key) && this.focusStage())
    for (const [field, input] of Object.entries(view.numbers)) this.#bindNumber(field, input)
  }

  /** A click with the pointer hands the keys back to the stage; one with the keyboard leaves them on the button. */
  #onClick(target, action) {
    target.addEventListener("click", (event) => {
      action()
      if (event.detail > 0 || target.disabled) this.focusStage()
    })
  }

  #bindNumber(field, input) {
    const apply = () => {
      const value = input.value.trim() === "" ? NaN : Number(input.value)
      if (field !== "ratio") this.do((state) => state.setPixels(field, value))
      else if (value > 0) this.do((state) => state.setPixels("side", state.pixels({ x: 0, y: 0, size: 1 / value }).side))
    }
    input.addEventListener("change", apply)
    input.addEventListener("blur", () => this.render())
    input.addEventListener("keydown", ({ key }) => {
      if (key === "Enter" || key === "Escape") this.focusStage()
    })
  }

  #chooseLayout() {
    const [what, count] = this.view.layout.value.split(" ")
    this.view.layout.value = ""
    this.do((state) => (what === "people" ? state.layOut(Number(count)) : state.arrange(what)))
    this.focusStage()
  }

  async #takeFaces() {
    this.view.photo.disabled = true
    this.say(t("Looking for faces …"))
    try {
      const found = new BoxesState(this.state.frame)
      found.load(await this.host.facesOfPhoto())
      if (found.error) throw new Error(found.error)
      this.do((state) => {
        this.proposed = null
        return state.replace(found.boxes)
      })
      const { length: count } = found.boxes
      this.say(count === 1 ? t("One face found") : t("{count} faces found", { count }))
    } catch (error) {
      this.say(error.message)
    } finally {
      this.view.photo.disabled = false
    }
  }

  // ---- context menu --------------------------------------------------------------------------------------------

  #openMenu(event) {
    event.preventDefault()
    event.stopPropagation()
    if (this.isDragging) return
    const byKey = event.target.classList.contains("rb-grip") && event.button !== 2
    const index = byKey ? this.state.selected : this.pointer.boxAt(event)
    if (!this.state.picked.includes(index)) this.select(index)
    openMenu(index < 0 ? stageItems(this) : boxItems(this), event.clientX, event.clientY, () => this.focusStage())
  }
}
