// Shared by the figures: data, colours, letters, axes, zooming, and what is under the pointer.
const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("figure");
const context = canvas.getContext("2d");
const tooltip = document.getElementById("tooltip");
const BASES = "ACGT";
const BASE_COLORS = { A: "#009E73", C: "#0072B2", G: "#E69F00", T: "#D55E00" };

// Little-endian, as Python wrote them.
function floats(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

// Between the colours of a list, by a share from 0 to 1; grey where there is no value.
function colorAt(colors, share) {
  if (Number.isNaN(share)) return [217, 217, 217];
  const place = Math.min(1, Math.max(0, share)) * (colors.length - 1);
  const left = Math.min(Math.floor(place), colors.length - 2);
  return [0, 1, 2].map((i) => Math.round(colors[left][i] + (place - left) * (colors[left + 1][i] - colors[left][i])));
}

function drawLetter(base, left, bottom, width, height) {
  context.fillStyle = BASE_COLORS[base];
  if (Math.abs(width) < 3) return context.fillRect(left, bottom - height, width, height);
  context.save();
  context.font = "bold 100px sans-serif";
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  const size = context.measureText(base);
  const high = size.actualBoundingBoxAscent + size.actualBoundingBoxDescent;
  const wide = size.actualBoundingBoxLeft + size.actualBoundingBoxRight;
  context.translate(left + 0.03 * width, bottom);
  context.scale((0.94 * width) / wide, height / high);
  context.fillText(base, size.actualBoundingBoxLeft, -size.actualBoundingBoxDescent);
  context.restore();
}

// The letters of one base from its axis outwards, the tallest last; `up` is pixels for each unit.
function drawColumn(heights, left, axis, width, up) {
  const order = [0, 1, 2, 3].sort((a, b) => Math.abs(heights[a]) - Math.abs(heights[b]));
  let top = axis;
  let bottom = axis;
  for (const letter of order) {
    const height = Math.abs(heights[letter]) * up;
    if (height < 0.3) continue;
    if (heights[letter] > 0) { drawLetter(BASES[letter], left, top, width, height); top -= height; }
    else { bottom += height; drawLetter(BASES[letter], left, bottom, width, height); }
  }
}

function roundStep(n, most) {
  for (let ten = 1; ; ten *= 10) for (const step of [ten, 2 * ten, 5 * ten]) if (n / step <= most) return step;
}

function resize(width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
}

// An axis of bases that can be zoomed: which are shown, and where.
class BaseAxis {
  constructor(n) { this.n = n; this.all(); }
  all() { this.first = 0; this.shown = this.n; }
  place(start, length) { this.start = start; this.length = length; }
  get scale() { return this.length / this.shown; }
  toPixel(base) { return this.start + (base - this.first) * this.scale; }
  toBase(pixel) { return this.first + (pixel - this.start) / this.scale; }
  zoom(factor, pixel) {
    const fixed = this.toBase(pixel);
    const shown = Math.min(this.n, Math.max(Math.min(10, this.n), this.shown * factor));
    this.first = fixed - ((fixed - this.first) * shown) / this.shown;
    this.shown = shown;
    this.move(0);
  }
  move(pixels) { this.first = Math.max(0, Math.min(this.n - this.shown, this.first - pixels / this.scale)); }
}

// Let wheel, buttons and dragging change the axes, and the tooltip say what `describe(x, y)` returns.
function interact(axes, draw, describe) {
  let drag = null;
  const centre = () => [axes[0].start + axes[0].length / 2, axes[axes.length - 1].start + axes[axes.length - 1].length / 2];
  const zoom = (factor, at) => { axes.forEach((axis, i) => axis.zoom(factor, at[i])); draw(); };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1 / 1.25 : 1.25, [event.offsetX, event.offsetY]);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => { drag = [event.offsetX, event.offsetY]; });
  window.addEventListener("pointerup", () => { drag = null; });
  canvas.addEventListener("dblclick", () => { axes.forEach((axis) => axis.all()); draw(); });
  canvas.addEventListener("pointerleave", () => { tooltip.style.display = "none"; });
  canvas.addEventListener("pointermove", (event) => {
    const at = [event.offsetX, event.offsetY];
    if (drag) { axes.forEach((axis, i) => axis.move(at[i] - drag[i])); drag = at; draw(); }
    const text = describe(...at);
    tooltip.style.display = text ? "block" : "none";
    tooltip.textContent = text || "";
    tooltip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - 260)}px`;
    tooltip.style.top = `${event.clientY + 14}px`;
  });
  document.getElementById("in").addEventListener("click", () => zoom(1 / 1.5, centre()));
  document.getElementById("out").addEventListener("click", () => zoom(1.5, centre()));
  document.getElementById("all").addEventListener("click", () => { axes.forEach((axis) => axis.all()); draw(); });
  window.addEventListener("resize", draw);
  draw();
}

// Coordinates below or beside the bases that an axis shows, and which these are, for whoever reads the page.
function drawTicks(axis, y, most) {
  const first = data.first + Math.ceil(axis.first - 0.5);
  const step = roundStep(axis.shown, most);
  context.fillStyle = "#222";
  context.font = "11px sans-serif";
  context.textBaseline = "top";
  context.textAlign = "center";
  for (let tick = Math.ceil(first / step) * step; tick - data.first + 0.5 <= axis.first + axis.shown; tick += step) {
    const x = axis.toPixel(tick - data.first + 0.5);
    context.fillRect(x - 0.5, y, 1, 4);
    context.fillText(tick.toLocaleString("en"), x, y + 6);
  }
  const shown = [Math.floor(axis.first), Math.ceil(axis.first + axis.shown - 1e-9) - 1].map((base) => base + data.first);
  canvas.dataset.shown = `${shown[0]}-${shown[1]}`;
}

function drawColorBar(colors, low, high, name, left, top, height) {
  for (let y = 0; y < height; y++) {
    context.fillStyle = `rgb(${colorAt(colors, 1 - y / (height - 1))})`;
    context.fillRect(left, top + y, 12, 1.5);
  }
  context.fillStyle = "#222";
  context.font = "11px sans-serif";
  context.textAlign = "left";
  context.textBaseline = "middle";
  [[high, 0], [(low + high) / 2, 0.5], [low, 1]].forEach(([value, share]) =>
    context.fillText(value.toFixed(2), left + 16, top + share * height));
  context.save();
  context.translate(left + 62, top + height / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText(name, 0, 0);
  context.restore();
}
