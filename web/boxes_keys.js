/** What keys and the clipboard do while the focus is in the editor. */

import { parseBoxes, formatBoxes } from "./boxes_format.js"
import { t } from "./strings.js"

/** Steps of the arrow keys, in pixels of the picture. */
const FINE = 1
const COARSE = 16
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
/** With Ctrl: these are the page's also here (run, save, open, settings). Others would act on the node behind. */
const OF_THE_PAGE = ["enter", "s", "o", ","]
/** With Ctrl: these reach the clipboard. */
const OF_THE_CLIPBOARD = ["c", "x", "v"]

/** @param {object} editor a BoxesEditor */
export function bindKeys(editor) {
  const { root, holder } = editor.view
  holder.addEventListener("keydown", (event) => {
    if (!pressed(editor, event)) return
    event.preventDefault()
    event.stopPropagation()
  })
  holder.addEventListener("focusin", ({ target }) => {
    const index = editor.view.boxes.findIndex(({ grip }) => grip === target)
    if (index >= 0 && !editor.state.picked.includes(index) && !editor.isDragging) editor.select(index)
  })
  root.addEventListener("keydown", (event) => {
    const control = event.ctrlKey || event.metaKey
    const key = event.key.toLowerCase()
    if (control && OF_THE_PAGE.includes(key)) return
    event.stopPropagation()
    if (control && !isText(event.target) && !OF_THE_CLIPBOARD.includes(key)) event.preventDefault()
  })
  for (const [type, action] of Object.entries({ copy, cut, paste })) {
    root.addEventListener(type, (event) => {
      event.stopPropagation()
      if (isText(event.target)) return
      event.preventDefault()
      action(editor, event.clipboardData)
    })
  }
}

const isText = (target) => target.matches("input:not([type=button])")

function pressed(editor, event) {
  if (event.ctrlKey || event.metaKey) return pressedWithControl(editor, event)
  if (event.key in ARROWS) {
    const step = event.shiftKey ? COARSE : FINE
    const [dx, dy] = ARROWS[event.key]
    editor.do((state) => state.nudge(dx * step, dy * step, event.repeat))
    return true
  }
  const remove = () => editor.do((state) => state.remove())
  const action = {
    Delete: remove,
    Backspace: remove,
    Tab: () => editor.cycle(event.shiftKey ? -1 : 1),
    Enter: () => editor.state.box && editor.view.name.focus(),
    " ": () => true,
    Escape: () => editor.leave(),
  }[event.key]
  if (!action) return false
  const outcome = action()
  if (event.key === "Tab" && !outcome) return false
  if (!["Enter", "Escape"].includes(event.key)) editor.focusStage()
  return true
}

function pressedWithControl(editor, event) {
  const action = {
    z: (state) => (event.shiftKey ? state.redo() : state.undo()),
    y: (state) => state.redo(),
    d: (state) => state.duplicate(),
    a: (state) => state.selectAll(),
  }[event.key.toLowerCase()]
  if (!action) return false
  editor.do(action)
  editor.focusStage()
  return true
}

// ---- clipboard: the boxes travel as their text (docs/boxes.md), so they can also be pasted into one ------------------

export function copy(editor, clipboard) {
  const { picked, boxes } = editor.state
  if (!picked.length) return editor.say(t("Select a box to copy."))
  clipboard.setData("text/plain", formatBoxes([...picked].sort((a, b) => a - b).map((index) => boxes[index])))
  editor.say(picked.length === 1 ? t("One box copied") : t("{count} boxes copied", { count: picked.length }))
}

export function cut(editor, clipboard) {
  copy(editor, clipboard)
  editor.do((state) => state.remove())
  editor.focusStage()
}

export function paste(editor, clipboard) {
  const text = clipboard.getData("text/plain")
  let boxes = []
  try {
    boxes = parseBoxes(text, editor.state.frame)
  } catch {
    // whatever else was copied
  }
  if (!boxes.length) return editor.say(t("The clipboard holds no face boxes."))
  editor.do((state) => state.paste(boxes), editor.fullText)
  editor.focusStage()
}
