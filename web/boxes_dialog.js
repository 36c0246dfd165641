/** The editor in a large dialog: the node's own one for a while, or one for boxes whose node shows none. */

import { button, element } from "./boxes_parts.js"
import { t } from "./strings.js"

/**
 * Show `editor` in a dialog over the page. Its element goes back to where it was, if it was anywhere.
 *
 * @param {object} editor a BoxesEditor
 * @param {string} title
 */
export function openDialog(editor, title) {
  const { element: root } = editor
  if (root.closest("dialog")) return
  const place = root.parentElement
  const dialog = element("dialog", { className: "realisid-dialog" })
  const close = button("remove", t("Close (Escape)"))
  const head = element("header")
  head.append(element("strong", { textContent: title }), close)
  dialog.append(head, root)
  dialog.setAttribute("aria-label", title)
  document.body.append(dialog)
  close.addEventListener("click", () => dialog.close())
  // Keys are the dialog's as long as it is open, whatever in it has the focus.
  for (const type of ["keydown", "copy", "cut", "paste"]) {
    dialog.addEventListener(type, (event) => event.stopPropagation())
  }
  dialog.addEventListener("close", () => {
    if (place?.isConnected && dialog.contains(root)) place.append(root)
    dialog.remove()
  })
  dialog.showModal()
  editor.focusStage()
}
