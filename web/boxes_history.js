/** The steps that undo and redo walk along. A step is `{text, selected}`. */

const LONGEST = 100

export class History {
  constructor() {
    this.forget()
  }

  forget() {
    this.past = []
    this.future = []
    this.lastStep = null
  }

  /** Note `now` before it changes. Changes with the same `step` in a row (typing, a held key) are one. */
  remember(now, step = null) {
    if (step === null || step !== this.lastStep) push(this.past, now)
    this.lastStep = step
    this.future = []
  }

  /** The step to go back to from `now`, or undefined. */
  back(now) {
    return this.#travel(now, this.past, this.future)
  }

  forth(now) {
    return this.#travel(now, this.future, this.past)
  }

  #travel(now, from, to) {
    const there = from.pop()
    if (!there) return undefined
    push(to, now)
    this.lastStep = null
    return there
  }

  /**
   * Go to the nearest step whose text is `text`, however many steps that is. Returns it, or undefined where there is none.
   * So the page's own undo, which gives the node an earlier text, moves along these steps and does not end them.
   */
  reach(text, now) {
    for (const [steps, move] of [[this.past, "back"], [this.future, "forth"]]) {
      const at = steps.findLastIndex((step) => step.text === text)
      if (at < 0) continue
      let step = now
      while (steps.length > at) step = this[move](step)
      return step
    }
    return undefined
  }

  /** Take over the steps of another history that had come to `now`. */
  adopt(other) {
    this.past = [...other.past]
    this.future = [...other.future]
    this.lastStep = null
  }
}

function push(steps, step) {
  steps.push(step)
  steps.splice(0, steps.length - LONGEST)
}
