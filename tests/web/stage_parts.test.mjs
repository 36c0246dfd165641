import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { describe, test } from "node:test"

import { seated } from "../../web/boxes_people.js"
import { sizeOfPhoto } from "../../web/boxes_photo.js"
import { BoxesState } from "../../web/boxes_state.js"

describe("a box that is moved", () => {
  const state = new BoxesState({ width: 1000, height: 800 })
  state.load('[{"x": 0.1, "y": 0.125, "size": 0.2}, {"x": 0.6, "y": 0.5, "size": 0.1}]') // 100, 100, 200 and 600, 400, 100
  const moved = (dx, dy, snap = 10) => state.aligned(0, dx, dy, snap)

  test("falls in line with the edge of another, near enough", () => {
    assert.deepEqual(moved(506, 10), { dx: 500, dy: 10, guides: [{ axis: "x", at: 0.6 }] })
    assert.deepEqual(moved(512, 10).guides, [])
  })

  test("falls in line with middles and with the frame's", () => {
    assert.deepEqual(moved(303, 195), { dx: 300, dy: 200, guides: [{ axis: "x", at: 0.5 }, { axis: "y", at: 0.5 }] })
    assert.deepEqual(moved(-95, 255).guides, [{ axis: "x", at: 0 }, { axis: "y", at: 0.5625 }])
  })

  test("goes where it is taken without snapping", () => {
    assert.deepEqual(moved(506, 195, 0), { dx: 506, dy: 195, guides: [] })
  })

  test("has no line with boxes that move with it", () => {
    state.picked = [0, 1]
    assert.deepEqual(moved(506, 10).guides, [])
    state.picked = []
  })
})

test("people sit in the box of their name, else of their number", () => {
  const boxes = [{ name: "Bo" }, { name: " ada  Lovelace" }, { name: "" }]
  const persons = [{ number: 1, box: "Ada Lovelace" }, { number: 3, box: "3" }, { number: 7 }]
  const seats = seated(persons, boxes)
  assert.deepEqual([0, 1, 2].map((index) => seats.get(index)?.number), [undefined, 1, 3])
})

test("a photo's size is taken as it is, or as SDXL can make it", () => {
  assert.deepEqual(sizeOfPhoto({ width: 832, height: 1216 }), { width: 832, height: 1216 })
  assert.deepEqual(sizeOfPhoto({ width: 515, height: 512 }), { width: 512, height: 512 })
  assert.deepEqual(sizeOfPhoto({ width: 4000, height: 3000 }), { width: 1184, height: 888 })
  assert.deepEqual(sizeOfPhoto({ width: 1000, height: 10 }), { width: 1000, height: 64 })
})

test("every socket colour can be seen on the nodes of a dark and of a light page, and is no other's", () => {
  const css = readFileSync(new URL("../../web/colours.css", import.meta.url), "utf8")
  const colours = [...css.matchAll(/--color-datatype-\w+: (#\w{6});/g)].map(([, colour]) => colour)
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  const light = (colour) => {
    const [r, g, b] = [1, 3, 5].map((at) => linear(parseInt(colour.slice(at, at + 2), 16) / 255))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b)
    return (high + 0.05) / (low + 0.05)
  }
  assert.ok(colours.length > 5 && new Set(colours).size === colours.length)
  for (const colour of colours) for (const node of ["#353535", "#f5f5f5"]) assert.ok(contrast(colour, node) > 3, colour)
})
