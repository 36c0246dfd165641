/** What the stage's context menu offers: for a box, and beside the boxes. */

import { choosePhoto } from "./boxes_drop.js"
import { sizeOfPhoto } from "./boxes_photo.js"
import { t } from "./strings.js"

/** @param {object} editor a BoxesEditor with at least one box selected */
export function boxItems(editor) {
  const { state, view, host } = editor
  const one = state.picked.length === 1
  const step = (operation) => () => editor.do(operation)
  return [
    { text: t("Rename"), keys: "Enter", action: () => view.name.focus(), disabled: !one },
    { text: t("Copy"), keys: "Ctrl+C", action: () => document.execCommand("copy") },
    { text: t("Duplicate"), keys: "Ctrl+D", action: step((s) => s.duplicate()), disabled: editor.isFull },
    { text: t("Photo of this person …"), action: () => choosePhoto(editor, state.selected), disabled: !one || !host.takePhoto },
    null,
    { text: t("Earlier"), action: step((s) => s.reorder(-1)), disabled: view.earlier.disabled },
    { text: t("Later"), action: step((s) => s.reorder(1)), disabled: view.later.disabled },
    null,
    { text: t("Remove"), keys: "Delete", action: step((s) => s.remove()) },
  ]
}

export function stageItems(editor) {
  const { state, host } = editor
  const step = (operation) => () => editor.do(operation)
  const none = !state.boxes.length
  return [
    { text: t("Add a person"), action: step((s) => s.add()), disabled: editor.isFull },
    { text: t("Select all"), keys: "Ctrl+A", action: step((s) => s.selectAll()), disabled: none },
    null,
    { text: t("Photo behind the boxes …"), action: () => choosePhoto(editor, -1), disabled: !host.takePhoto },
    sizeItem(editor),
    null,
    { text: t("Mirror"), action: step((s) => s.arrange("mirror")), disabled: none },
    { text: t("Centre"), action: step((s) => s.arrange("centre")), disabled: none },
    { text: t("Space evenly"), action: step((s) => s.arrange("space")), disabled: none },
    null,
    { text: t("Undo"), keys: "Ctrl+Z", action: step((s) => s.undo()), disabled: !state.history.past.length },
    { text: t("Redo"), keys: "Ctrl+Y", action: step((s) => s.redo()), disabled: !state.history.future.length },
    { text: t("Remove all boxes"), action: step((s) => s.clear()), disabled: none },
  ]
}

function sizeItem({ view, host, state }) {
  const { naturalWidth: width, naturalHeight: height } = view.backdrop
  const size = view.backdrop.hidden || !width ? null : sizeOfPhoto({ width, height })
  const same = size?.width === state.frame.width && size.height === state.frame.height
  const text = size ? t("Use the photo's size: {width} × {height}", size) : t("Use the photo's size")
  return { text, action: () => host.setSize(size), disabled: !size || same || !host.setSize }
}
