/** The size that a picture has after a photo. Knows nothing of the page: it is tested with Node. */

/** Sides are multiples of this, as the widgets' are. */
const STEP = 8
/** SDXL makes pictures of about this many pixels; a larger photo gives its shape only. */
const MOST_PIXELS = 1024 * 1024
const LEAST_SIDE = 64

/** The photo's own size, or, of a large photo, one of its shape that SDXL can make. */
export function sizeOfPhoto({ width, height }) {
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)))
  const side = (length) => Math.max(Math.round((length * scale) / STEP) * STEP, LEAST_SIDE)
  return { width: side(width), height: side(height) }
}
