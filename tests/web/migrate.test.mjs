import assert from "node:assert/strict"
import { describe, test } from "node:test"

import { MARK, migrated, renumbering } from "../../web/migrate.js"

const define = (name, ...inputs) => ({ name, input: { optional: Object.fromEntries(inputs.map((key) => [key, []])) } })
const person = renumbering(define("RealisID_Person", "box"))
const detect = renumbering(define("RealisID_DetectFaces", "face"))
const PERSON = [["box", "1"], ["local_strength", 1], ["global_strength", 1], ["index", -1]]
const DETECT = [["detector", "yunet"], ["threshold", 0.6], ["order", "largest first"], ["maximum", 0], ["margin", 0], ["face", 0], ["index", -2]]
const saved = (...values) => ({ type: "", properties: {}, inputs: [], widgets_values: values })

describe("graphs from before people were counted from 1", () => {
  test("keep who is in which box", () => {
    assert.deepEqual(migrated(saved(2, 0.5, 1.5), person, PERSON).widgets_values, ["3", 0.5, 1.5, -1])
  })

  test("keep which face is taken, all of them included", () => {
    const values = (index) => migrated(saved("yunet", 0.7, "left to right", index, 4, 0.1), detect, DETECT).widgets_values
    assert.deepEqual(values(-1), ["yunet", 0.7, "left to right", 4, 0.1, 0, -2])
    assert.deepEqual(values(0), ["yunet", 0.7, "left to right", 4, 0.1, 1, -2])
    assert.deepEqual(values(6), ["yunet", 0.7, "left to right", 4, 0.1, 7, -2])
  })

  test("keep a node that is connected to index", () => {
    const node = { ...saved(1, 1, 1), inputs: [{ name: "index", link: 7 }] }
    assert.deepEqual(migrated(node, person, PERSON).widgets_values, ["1", 1, 1, -1])
    assert.deepEqual(migrated(node, person, PERSON).inputs, node.inputs)
  })

  test("saved with names are read by name, too", () => {
    const node = { ...saved(1, 1, 1), widgets_values_named: { index: 1, local_strength: 1, global_strength: 1 } }
    const { widgets_values_named: named } = migrated(node, person, PERSON)
    assert.deepEqual(named, { index: -1, local_strength: 1, global_strength: 1, box: "2" })
  })
})

describe("what is left as it is", () => {
  for (const [what, node] of [
    ["a node of today", saved("2", 1, 1, -1)],
    ["a marked one", { ...saved(1, 1, 1), properties: { [MARK]: 1 } }],
    ["one with the new name", { ...saved(1, 1, 1), widgets_values_named: { box: "2" } }],
    ["one without values", { properties: {} }],
    ["one with values by name alone", { properties: {}, widgets_values: { index: 1 } }],
  ]) {
    test(what, () => assert.equal(migrated(node, person, PERSON), node))
  }

  test("nodes whose definition has not the new input, and others", () => {
    assert.equal(renumbering(define("RealisID_Person", "index")), undefined)
    assert.equal(renumbering(define("LoadImage", "face")), undefined)
    assert.equal(renumbering({ name: "Reroute" }), undefined)
  })
})
