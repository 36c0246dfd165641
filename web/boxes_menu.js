/** The stage's context menu: what can be done with the box under the pointer, or with the stage. */

import { element } from "./boxes_parts.js"

/**
 * Open a menu at a place of the screen. It closes on a choice, on Escape and on anything pressed outside of it.
 *
 * @param {{text: string, keys?: string, action: () => void, disabled?: boolean}[]} items null: a line between groups
 * @param {() => void} closed called once, after the chosen action
 */
export function openMenu(items, x, y, closed) {
  const menu = element("div", { className: "realisid-menu", tabIndex: -1 })
  menu.setAttribute("role", "menu")
  const rows = items.map((item) => (item ? row(item) : element("hr")))
  menu.append(...rows)
  const inside = document.querySelector("dialog.realisid-dialog[open]") ?? document.body
  inside.append(menu)
  const { width, height } = menu.getBoundingClientRect()
  menu.style.left = `${Math.max(0, Math.min(x, innerWidth - width - 4))}px`
  menu.style.top = `${Math.max(0, Math.min(y, innerHeight - height - 4))}px`

  const outside = (event) => menu.contains(event.target) || close()
  const close = (action) => {
    if (!menu.isConnected) return
    removeEventListener("pointerdown", outside, true)
    removeEventListener("wheel", outside, true)
    menu.remove()
    closed()
    action?.()
  }
  addEventListener("pointerdown", outside, true)
  addEventListener("wheel", outside, true)
  menu.addEventListener("contextmenu", (event) => event.preventDefault())
  menu.addEventListener("click", (event) => {
    const chosen = items[rows.indexOf(event.target.closest("button"))]
    if (chosen) close(chosen.action)
  })
  menu.addEventListener("keydown", (event) => {
    event.preventDefault()
    event.stopPropagation()
    if (event.key === "Escape" || event.key === "Tab") return close()
    if (event.key === "Enter" || event.key === " ") return document.activeElement.click()
    const usable = rows.filter((button) => button.matches("button:enabled"))
    const at = usable.indexOf(document.activeElement)
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[event.key]
    if (to !== undefined) usable.at(to % usable.length).focus()
  })
  const first = rows.find((button) => button.matches("button:enabled"))
  ;(first ?? menu).focus()
}

function row({ text, keys = "", disabled = false }) {
  const made = element("button", { type: "button", disabled })
  made.setAttribute("role", "menuitem")
  made.append(element("span", { textContent: text }), element("kbd", { textContent: keys }))
  return made
}
