/** Photos that are dropped on the stage or chosen from its menu: behind the boxes, or of the person of one box. */

import { element } from "./boxes_parts.js"
import { t } from "./strings.js"

/** @param {object} editor a BoxesEditor; its host's `takePhoto` is given the file */
export function bindDrop(editor) {
  const { holder } = editor.view
  if (!editor.host.takePhoto) return
  const mark = (index) => {
    holder.classList.toggle("rb-drop", index === -1)
    editor.view.boxes.forEach(({ body }, at) => body.classList.toggle("rb-drop", at === index))
  }
  holder.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return
    event.preventDefault()
    event.stopPropagation()
    event.dataTransfer.dropEffect = "copy"
    mark(editor.pointer.boxAt(event))
  })
  holder.addEventListener("dragleave", () => mark(null))
  holder.addEventListener("drop", (event) => {
    mark(null)
    const file = [...event.dataTransfer.files].find(({ type }) => type.startsWith("image/"))
    if (!file) return
    event.preventDefault()
    event.stopPropagation()
    take(editor, file, editor.pointer.boxAt(event))
  })
}

/** Ask for a photo: of the person of box `index`, or, with -1, behind the boxes. */
export function choosePhoto(editor, index) {
  const chooser = element("input", { type: "file", accept: "image/*" })
  chooser.addEventListener("change", () => chooser.files[0] && take(editor, chooser.files[0], index))
  chooser.click()
}

async function take(editor, file, index) {
  if (index >= 0) editor.select(index)
  editor.say(t("Uploading {name} …", { name: file.name }))
  try {
    editor.say(await editor.host.takePhoto(file, index))
  } catch (error) {
    editor.say(error.message)
  }
}
