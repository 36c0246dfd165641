import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"

import { formatBoxes, parseBoxes, sizeDescription } from "../../web/boxes_format.js"

// The same cases that the server's parser is held to (tests/test_box_vectors.py).
const vectors = JSON.parse(readFileSync(new URL("box_vectors.json", import.meta.url)))

for (const { what, value, boxes, ...frame } of vectors.valid) {
  test(`reads ${what}`, () => assert.deepEqual(parseBoxes(value, frame), boxes))

  test(`writes ${what} so that it reads the same`, () => {
    assert.deepEqual(parseBoxes(formatBoxes(boxes), frame), boxes)
  })
}

for (const { what, value, reason, ...frame } of vectors.invalid) {
  test(`refuses ${what} and says why`, () => assert.throws(() => parseBoxes(value, frame), new RegExp(reason)))
}

test("a size is written as papers write it, and called small below a sixth", () => {
  assert.equal(sizeDescription(1 / 6.2), "1/6.2, small face")
  assert.equal(sizeDescription(1 / 6), "1/6")
  assert.equal(sizeDescription(0.5), "1/2")
  assert.equal(sizeDescription(1.5), "1.5×")
})

test("a snapped size of 1/6 is still no small face after being written and read", () => {
  const [box] = parseBoxes(formatBoxes([{ x: 0, y: 0, size: 1 / 6, name: "" }]), { width: 1024, height: 1024 })
  assert.equal(sizeDescription(box.size), "1/6")
})
