/**
 * The pack's own words in the page, in the language that the page is set to. English is written where it is used and is
 * the key of its translation: `t("{count} faces found", { count: 3 })`.
 */

import chinese from "./strings_zh.js"

const TABLES = { zh: chinese }
let table = {}

/** @param {string} language as in the frontend's setting `Comfy.Locale`: "en", "zh", … */
export function setLanguage(language) {
  table = TABLES[language] ?? {}
}

export function t(text, values = {}) {
  return (table[text] ?? text).replace(/\{(\w+)\}/g, (_, name) => values[name])
}
