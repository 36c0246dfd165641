import assert from "node:assert/strict"
import { readFileSync, readdirSync } from "node:fs"
import { afterEach, describe, test } from "node:test"

import { parseBoxes } from "../../web/boxes_format.js"
import { setLanguage, t } from "../../web/strings.js"
import chinese from "../../web/strings_zh.js"

const FOLDER = new URL("../../web/", import.meta.url)
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".js") && !name.startsWith("strings"))
const LITERAL = `"(?:[^"\\\\\\n]|\\\\.)*"|'(?:[^'\\\\\\n]|\\\\.)*'`
const source = (name) => readFileSync(new URL(name, FOLDER), "utf8").replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "")
const called = new RegExp(`\\bt\\(\\s*((?:${LITERAL})(?:\\s*\\+\\s*(?:${LITERAL}))*)`, "g")
const keys = new Set(
  files.flatMap((name) => [...source(name).matchAll(called)].map(([, text]) => Function(`return ${text}`)()))
)
const places = (text) => (text.match(/\{\w+\}/g) ?? []).sort().join()

afterEach(() => setLanguage("en"))

describe("Chinese", () => {
  test("has every text of the page and no other", () => {
    assert.ok(keys.size > 50)
    assert.deepEqual([...keys].filter((key) => !(key in chinese)), [], "missing")
    assert.deepEqual(Object.keys(chinese).filter((key) => !keys.has(key)), [], "left over")
  })

  test("has the same values in each, and is Chinese", () => {
    for (const [english, text] of Object.entries(chinese)) {
      assert.equal(places(text), places(english), english)
      assert.match(text.replace(/\{\w+\}/g, "人"), /[一-鿿]/, english)
    }
  })

  test("is what the editor says of a broken text", () => {
    setLanguage("zh")
    assert.throws(() => parseBoxes('[{"x": 0}]', { width: 8, height: 8 }), /人脸框 1 没有“y”/)
  })
})

test("no sentence of the page goes past the translation", () => {
  const sentence = /^[A-Z][a-z]+(?: [a-z]+)+|^[A-Z][a-z]+ [a-z“{]/
  const allowed = /^RealisID /
  for (const name of files) {
    const rest = source(name).replace(called, "t(")
    const texts = [...rest.matchAll(new RegExp(`(${LITERAL}|\`[^\`]*\`)`, "g"))].map(([text]) => text.slice(1, -1))
    assert.deepEqual(texts.filter((text) => sentence.test(text) && !allowed.test(text)), [], name)
  }
})

test("an unknown language is English, and values are put in", () => {
  setLanguage("tlh")
  assert.equal(t("{count} people", { count: 3 }), "3 people")
})
