/** The small elements that the editor is built from. */

const ICONS = {
  add: "M8 3v10M3 8h10",
  photo: "M2.5 4.5h2l1-1.5h5l1 1.5h2v8h-11zM8 10.6a2.2 2.2 0 1 0 0-4.4a2.2 2.2 0 0 0 0 4.4",
  backdrop: "M2.5 3.5h11v9h-11zM3 11l3-3 2 2 2.5-3L13 10.5M5.5 6.4h.1",
  enlarge: "M9.5 3H13v3.5M13 3L9 7M6.5 13H3V9.5M3 13l4-4",
  undo: "M5.5 3.5L3 6l2.5 2.5M3 6h6.5a3.2 3.2 0 0 1 0 6.5H7",
  redo: "M10.5 3.5L13 6l-2.5 2.5M13 6H6.5a3.2 3.2 0 0 0 0 6.5H9",
  clear: "M3 4.5h10M6.5 4.5v-1.5h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M6.8 7v3.8M9.2 7v3.8",
  earlier: "M10 3.5L5.5 8l4.5 4.5",
  later: "M6 3.5L10.5 8L6 12.5",
  duplicate: "M6 6h7v7h-7zM3.5 10h-.5v-7h7v.5",
  remove: "M4.5 4.5l7 7M11.5 4.5l-7 7",
}

export function element(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties)
}

export function button(icon, title, text = "") {
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

export function numberField(text, title) {
  const label = element("label", { className: "rb-number", title })
  const input = element("input", { type: "number", step: "any" })
  input.setAttribute("aria-label", title)
  label.append(element("span", { textContent: text }), input)
  return input
}

export function optionGroup(label, options) {
  const group = element("optgroup", { label })
  group.append(...options)
  return group
}

export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text
}

/** A field that is being typed in is left alone. */
export function setValue(input, value) {
  if (document.activeElement !== input && input.value !== String(value)) input.value = value
}
