import assert from "node:assert/strict"
import { beforeEach, describe, test } from "node:test"

import { parseBoxes } from "../../web/boxes_format.js"
import { BoxesState } from "../../web/boxes_state.js"

const FRAME = { width: 1000, height: 800 }
const close = (actual, expected, tolerance = 1e-4) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected}`)
const names = (state) => state.boxes.map((box) => box.name).join("")

let state
beforeEach(() => {
  state = new BoxesState(FRAME)
})

function three() {
  state.load(
    JSON.stringify([
      { x: 0.1, y: 0.1, size: 0.2, name: "A" },
      { x: 0.5, y: 0.5, size: 0.4, name: "B" },
      { x: 0.6, y: 0.6, size: 0.1, name: "C" },
    ])
  )
}

describe("the text", () => {
  test("is kept to the letter until something changes", () => {
    const text = ' [{"y": 0.123456789, "x": 0.1, "size": 0.2}] '
    state.load(text)
    state.select(0)
    assert.equal(state.text, text)
    state.setFrame({ width: 512, height: 2048 })
    assert.equal(state.text, text)
  })

  test("always reads back to the boxes on the stage", () => {
    three()
    state.add()
    state.arrange("mirror")
    assert.deepEqual(parseBoxes(state.text, FRAME), state.boxes)
  })

  test("that is broken gives an empty stage and its reason, and stays until the first edit", () => {
    state.load("{oops")
    assert.equal(state.boxes.length, 0)
    assert.match(state.error, /not JSON/)
    assert.equal(state.text, "{oops")
    state.add()
    assert.equal(state.error, "")
    assert.equal(state.boxes.length, 1)
    state.undo()
    assert.equal(state.text, "{oops")
  })

  test("given with width and height follows the frame", () => {
    state.load('[{"x": 0, "y": 0, "width": 0.4, "height": 0.5}]')
    assert.equal(state.boxes.length, 1)
    state.setFrame({ width: 1000, height: 1000 })
    assert.match(state.error, /square/)
    state.setFrame(FRAME)
    assert.equal(state.error, "")
  })
})

describe("drawing", () => {
  test("makes a square with the longer side of the drag, towards the pointer", () => {
    const box = state.drawn({ x: 500, y: 400 }, { x: 370, y: 350 }, 0)
    close(box.size, 0.13)
    close(box.x, 0.37)
    close(box.y, (400 - 130) / 800)
  })

  test("takes the round sizes 1/2 to 1/7 of the long edge when near", () => {
    for (const n of [2, 3, 4, 5, 6, 7]) {
      assert.equal(state.drawn({ x: 0, y: 0 }, { x: 1000 / n + 5, y: 3 }, 8).size, 1 / n)
    }
    close(state.drawn({ x: 0, y: 0 }, { x: 230, y: 3 }, 8).size, 0.23)
  })

  test("stops at eight people", () => {
    for (let i = 0; i < 8; i++) assert.ok(state.add())
    assert.equal(state.add(), false)
    assert.equal(state.duplicate(), false)
    assert.equal(state.boxes.length, 8)
  })
})

describe("moving and resizing", () => {
  beforeEach(three)

  test("moves by pixels of the frame and touches nobody else", () => {
    const boxes = state.withMoved(1, 100, -80)
    close(boxes[1].x, 0.6)
    close(boxes[1].y, 0.4)
    assert.deepEqual([boxes[0], boxes[2]], [state.boxes[0], state.boxes[2]])
  })

  test("never loses a box outside the frame", () => {
    for (const [dx, dy] of [[-1e5, 0], [1e5, 0], [0, -1e5], [0, 1e5]]) {
      state.commit(state.withMoved(0, dx, dy))
      assert.equal(state.error, "")
      assert.equal(state.boxes.length, 3)
    }
  })

  test("keeps the opposite corner in place, whichever corner is pulled", () => {
    const before = state.pixels(state.boxes[1])
    for (const corner of ["nw", "ne", "sw", "se"]) {
      const to = {
        x: corner.includes("e") ? before.left + 300 : before.left + before.side - 300,
        y: corner.includes("s") ? before.top + 250 : before.top + before.side - 250,
      }
      const after = state.pixels(state.withResized(1, corner, to, 0)[1])
      close(after.side, 300, 0.01)
      const fixed = ({ left, top, side }) => [left + (corner.includes("e") ? 0 : side), top + (corner.includes("s") ? 0 : side)]
      close(fixed(after)[0], fixed(before)[0], 0.01)
      close(fixed(after)[1], fixed(before)[1], 0.01)
    }
  })

  test("never turns a box inside out", () => {
    assert.ok(state.withResized(1, "se", { x: -500, y: -500 }, 0)[1].size > 0)
  })

  test("sets exact pixels, the side growing from the centre", () => {
    state.select(0)
    state.setPixels("side", 300)
    state.setPixels("left", 50)
    const { left, top, side } = state.pixels(state.box)
    close(side, 300, 0.01)
    close(left, 50, 0.01)
    close(top, 80 - 50, 0.01)
    assert.equal(state.setPixels("top", NaN), false)
  })
})

describe("what the pointer hits", () => {
  beforeEach(three)

  test("is the smaller of two boxes on top of each other, then the larger", () => {
    assert.deepEqual(pick({ x: 650, y: 530 }), { index: 2, corner: null })
    assert.deepEqual(pick({ x: 650, y: 530 }, 1), { index: 1, corner: null })
  })

  test("is the selected box first", () => {
    state.select(1)
    assert.equal(pick({ x: 650, y: 530 }).index, 1)
  })

  test("is a corner within reach, which is longer once the box is selected", () => {
    assert.deepEqual(pick({ x: 96, y: 76 }), { index: 0, corner: "nw" })
    assert.equal(pick({ x: 90, y: 70 }), null)
    state.select(0)
    assert.deepEqual(pick({ x: 90, y: 70 }), { index: 0, corner: "nw" })
    assert.deepEqual(pick({ x: 295, y: 275 }), { index: 0, corner: "se" })
  })

  test("leaves the inside of a small box free for moving, however large the handles", () => {
    state.select(2)
    assert.equal(state.hit({ x: 650, y: 530 }, 60).corner, null)
  })

  function pick(point, skip = 0) {
    const hit = state.hit(point, 12, skip)
    return hit && { index: hit.index, corner: hit.corner }
  }
})

describe("order, copies, names", () => {
  beforeEach(three)

  test("moves a person to an earlier or later number and keeps them selected", () => {
    state.select(2)
    assert.ok(state.reorder(-1))
    assert.equal(names(state), "ACB")
    assert.equal(state.selected, 1)
    state.select(0)
    assert.equal(state.reorder(-1), false)
  })

  test("duplicates beside the original and selects the copy", () => {
    state.select(0)
    assert.ok(state.duplicate())
    assert.equal(names(state), "ABCA")
    assert.equal(state.selected, 3)
    assert.ok(state.box.x > state.boxes[0].x)
  })

  test("removes the selected person and selects the next", () => {
    state.select(1)
    assert.ok(state.remove())
    assert.equal(names(state), "AC")
    assert.equal(state.box.name, "C")
    state.remove()
    state.remove()
    assert.equal(state.remove(), false)
    assert.equal(state.selected, -1)
  })

  test("Tab goes round", () => {
    const seen = []
    for (let i = 0; i < 4; i++) {
      state.cycle(1)
      seen.push(state.selected)
    }
    assert.deepEqual(seen, [0, 1, 2, 0])
    state.cycle(-1)
    assert.equal(state.selected, 2)
    state.select(-1)
    state.cycle(-1)
    assert.equal(state.selected, 2)
  })
})

describe("undo", () => {
  beforeEach(three)

  test("takes back every kind of edit, one at a time, and redo brings it again", () => {
    const texts = [state.text]
    const edits = [
      () => state.add(),
      () => state.reorder(-1),
      () => state.nudge(5, 0),
      () => state.duplicate(),
      () => state.rename(0, "Zoe"),
      () => state.layOut(5),
      () => state.arrange("mirror"),
      () => state.clear(),
    ]
    for (const edit of edits) {
      state.select(Math.max(state.selected, 0))
      if (edit()) texts.push(state.text)
    }
    for (const text of [...texts].reverse().slice(1)) {
      assert.ok(state.undo())
      assert.equal(state.text, text)
    }
    assert.equal(state.undo(), false)
    for (const text of texts.slice(1)) {
      assert.ok(state.redo())
      assert.equal(state.text, text)
    }
    assert.equal(state.redo(), false)
  })

  test("takes a held key or a typed name as one step", () => {
    const before = state.text
    state.select(0)
    state.nudge(1, 0)
    for (let i = 0; i < 20; i++) state.nudge(1, 0, true)
    close(state.pixels(state.box).left, 121, 0.01)
    state.undo()
    assert.equal(state.text, before)
    for (const name of ["L", "Lu", "Luc"]) state.rename(0, name)
    state.undo()
    assert.equal(state.text, before)
  })

  test("keeps two separate presses apart", () => {
    state.select(0)
    state.nudge(1, 0)
    state.nudge(1, 0)
    state.undo()
    close(state.pixels(state.boxes[0]).left, 101, 0.01)
  })

  test("goes on over a text that is only shown, as one step however often it is replaced", () => {
    three()
    state.add()
    const own = state.text
    state.show('[{"x": 0.2, "y": 0.2, "size": 0.3}]', true)
    state.show('[{"x": 0.3, "y": 0.2, "size": 0.3}]', false)
    assert.equal(state.undo(), true)
    assert.equal(state.text, own)
    assert.equal(state.undo(), true)
    assert.equal(names(state), "ABC")
  })

  test("is forgotten when a new text comes from outside", () => {
    state.add()
    state.load("[]")
    assert.equal(state.undo(), false)
  })
})

describe("layouts", () => {
  const frames = [[1024, 1024], [1536, 640], [640, 1536]].map(([width, height]) => ({ width, height }))

  for (const frame of frames) {
    for (let count = 1; count <= 8; count++) {
      test(`${count} people in ${frame.width}×${frame.height}: inside, apart, mirrored, equal`, () => {
        const stage = new BoxesState(frame)
        stage.layOut(count)
        const at = stage.boxes.map((box) => stage.pixels(box))
        assert.equal(at.length, count)
        for (const { left, top, side } of at) {
          assert.ok(left >= 0 && top >= 0 && left + side <= frame.width && top + side <= frame.height)
          close(side, at[0].side, 0.05)
        }
        for (const [i, a] of at.entries()) {
          for (const b of at.slice(i + 1)) {
            const apart = Math.max(Math.abs(a.left - b.left), Math.abs(a.top - b.top))
            assert.ok(apart >= a.side, `two faces are ${apart} apart`)
          }
        }
        const place = ({ left, top }) => `${Math.round(left)},${Math.round(top)}`
        const mirror = at.map(({ left, top, side }) => ({ left: frame.width - left - side, top }))
        const near = (a, b) => Math.abs(a.left - b.left) < 1 && Math.abs(a.top - b.top) < 1
        for (const other of mirror) assert.ok(at.some((one) => near(one, other)), `nobody mirrors ${place(other)}`)
      })
    }
  }

  test("keep people's names", () => {
    three()
    state.layOut(4)
    assert.equal(names(state), "ABC")
    assert.equal(state.boxes.length, 4)
  })

  test("a mirror twice is where one started", () => {
    three()
    const before = structuredClone(state.boxes)
    state.arrange("mirror")
    assert.notDeepEqual(state.boxes, before)
    state.arrange("mirror")
    state.boxes.forEach((box, index) => close(box.x, before[index].x))
  })

  test("centre moves the group, not its people", () => {
    three()
    const gap = state.boxes[1].x - state.boxes[0].x
    state.arrange("centre")
    close(state.boxes[1].x - state.boxes[0].x, gap)
    const at = state.boxes.map((box) => state.pixels(box))
    const low = Math.min(...at.map(({ left }) => left))
    const high = Math.max(...at.map(({ left, side }) => left + side))
    close(low + high, FRAME.width, 0.1)
  })

  test("even spacing makes all gaps equal and keeps the order from left", () => {
    three()
    state.commit(state.boxes.map((box) => ({ ...box, y: 0.5 - (box.size * 1000) / 1600 })))
    state.arrange("space")
    const at = state.boxes.map((box) => state.pixels(box)).sort((a, b) => a.left - b.left)
    const edges = [0, ...at.flatMap(({ left, side }) => [left, left + side]), FRAME.width]
    const gaps = [0, 1, 2, 3].map((i) => edges[2 * i + 1] - edges[2 * i])
    for (const gap of gaps) close(gap, gaps[0], 0.1)
    assert.equal(state.boxes.map((b) => b.name).join(""), "ABC")
  })

  test("even spacing works row by row and keeps heights", () => {
    const row = (y, ...xs) => xs.map((x) => ({ x, y, size: 0.1 }))
    state.load(JSON.stringify([...row(0.1, 0.5, 0.1), ...row(0.6, 0, 0.2, 0.9)]))
    const heights = state.boxes.map((box) => box.y)
    state.arrange("space")
    assert.deepEqual(state.boxes.map((box) => box.y), heights)
    ;[1.6 / 3 + 0.1, 0.8 / 3, 0.175, 0.45, 0.725].forEach((x, at) => close(state.boxes[at].x, at ? x : 0.63333))
  })

  test("a row wider than the frame is spread from edge to edge", () => {
    state.load(JSON.stringify([0, 0.2, 0.3].map((x) => ({ x, y: 0.1, size: 0.4 }))))
    state.arrange("space")
    ;[0, 0.3, 0.6].forEach((x, at) => close(state.boxes[at].x, x))
  })
})

describe("several boxes", () => {
  beforeEach(three)

  test("are moved together, no further than each of them can go", () => {
    state.toggle(0)
    state.toggle(2)
    const gap = state.boxes[2].x - state.boxes[0].x
    state.commit(state.withMoved(0, 1e4, 0))
    close(state.boxes[2].x - state.boxes[0].x, gap)
    close(state.boxes[1].x, 0.5)
  })

  test("are removed, copied and undone together", () => {
    state.selectAll()
    assert.ok(state.duplicate())
    assert.equal(names(state), "ABCABC")
    assert.deepEqual(state.picked, [3, 4, 5])
    state.remove()
    assert.equal(names(state), "ABC")
    state.undo()
    assert.deepEqual(state.picked, [3, 4, 5])
    assert.equal(state.duplicate(), false)
  })
})

describe("gestures out of the frame", () => {
  test("draw no box that is larger than the picture or leaves it", () => {
    for (const end of [[9e4, 9e4], [-9e4, -9e4], [9e4, 350], [500, -9e4]]) {
      const box = state.drawn({ x: 500, y: 350 }, { x: end[0], y: end[1] }, 0)
      const { left, top, side } = state.pixels(box)
      assert.ok(left >= -1e-6 && top >= -1e-6 && left + side <= 1000 + 1e-6 && top + side <= 800 + 1e-6)
    }
  })

  test("pull a corner to the edge and no further", () => {
    three()
    const { left, side } = state.pixels(state.withResized(1, "se", { x: 9e4, y: 9e4 }, 0)[1])
    close(left + side, 1000)
  })
})

describe("a text that the page brings back", () => {
  test("is one of the steps, and the steps go on from there", () => {
    const texts = [state.text]
    for (let i = 0; i < 3; i++) state.add() && texts.push(state.text)
    state.load(texts[1])
    assert.equal(state.boxes.length, 1)
    state.redo()
    assert.equal(state.text, texts[2])
    state.undo()
    state.undo()
    assert.equal(state.text, texts[0])
    const next = new BoxesState(FRAME)
    next.load(texts[2])
    next.continue(state)
    next.redo()
    assert.equal(next.text, texts[3])
    const other = new BoxesState(FRAME)
    other.load("[]")
    other.continue(state)
    assert.equal(other.undo(), false)
  })
})
