"""A page of any height as a small PNG: drawn whole, in no more colours than a palette has."""

from __future__ import annotations

import base64
import struct
import zlib

from turnwatch.bench.browser import Page

_BEST = 9

_PALETTES = ((64, 300), (40, 600), (32, 1_000), (24, 2_000))
"""How many colours at most, and how far apart at least as squared distances of RGB: shades of letters' edges go first."""

_COUNTED = """(async () => {
  const bytes = Uint8Array.from(atob('%s'), each => each.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], {type: 'image/png'}));
  const canvas = new OffscreenCanvas(image.width, image.height), paper = canvas.getContext('2d');
  paper.drawImage(image, 0, 0);
  const pixels = new Uint32Array(paper.getImageData(0, 0, image.width, image.height).data.buffer), counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const parts = pixel => [pixel & 255, pixel >> 8 & 255, pixel >> 16 & 255];
  const palette = [], drawn = new Map();
  const apart = (one, other) => one.reduce((sum, part, at) => sum + (part - other[at]) ** 2, 0);
  const nearest = colour => {
    let best = 0, least = Infinity;
    palette.forEach((each, at) => { const far = apart(each, colour); if (far < least) [best, least] = [at, far]; });
    return [best, least];
  };
  for (const [pixel] of [...counts].sort((one, other) => other[1] - one[1])) {
    const colour = parts(pixel), [best, least] = nearest(colour);
    if (palette.length < %d && least > %d) drawn.set(pixel, palette.push(colour) - 1);
    else drawn.set(pixel, best);
  }
  const rows = new Uint8Array((image.width + 1) * image.height);
  for (let y = 0, from = 0, to = 0; y < image.height; y++)
    for (let x = 0, _ = to++; x < image.width; x++) rows[to++] = drawn.get(pixels[from++]);
  let text = '';
  for (let at = 0; at < rows.length; at += 32768) text += String.fromCharCode(...rows.subarray(at, at + 32768));
  return {width: image.width, height: image.height, palette, rows: btoa(text)};
})()"""
"""Colours in order of how often they are seen; one joins the palette while there is room, unless one that is there is as good."""


_ASKED = "document.querySelector('.panel') && !document.querySelector('.body[aria-busy=true]')"
_DRAWN = "[...document.querySelectorAll('.chart')].every(each => each.querySelector('svg'))"
"""A chart that is out of sight is not busy: it waits."""


async def whole(page: Page, width: int, lowest: int) -> None:
    """Makes the page as high as what is on it, so that all of it is in sight; panels are asked for, and it may grow, meanwhile."""
    height, is_whole = lowest, False
    while not is_whole:
        await page.sized(width, height)
        await page.until(_ASKED)
        told = int(await page.run("document.documentElement.scrollHeight"))
        is_whole = told <= height
        height = max(told, height)
    await page.until(_DRAWN)


async def small(page: Page, picture: bytes, bytes_max: int) -> bytes:
    """A PNG of the most colours with which it is small enough; the page only does the counting.

    Raises ValueError where that takes fewer colours than a chart can be read in.
    """
    encoded = base64.b64encode(picture).decode()
    for colours, apart in _PALETTES:
        told = await page.run(_COUNTED % (encoded, colours, apart))
        header = struct.pack(">IIBBBBB", told["width"], told["height"], 8, 3, 0, 0, 0)
        palette = bytes(part for colour in told["palette"] for part in colour)
        rows = zlib.compress(base64.b64decode(told["rows"]), _BEST)
        chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", rows), (b"IEND", b""))
        written = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)
        if len(written) < bytes_max:
            return written
    raise ValueError(f"{len(written)} bytes with {colours} colours, more than {bytes_max}: make the page smaller.")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
