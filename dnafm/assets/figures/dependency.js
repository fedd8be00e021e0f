// A dependency map with the sequence logo above it and beside it.
const COLORS = [[252, 253, 191], [254, 206, 145], [254, 159, 109], [247, 112, 92], [222, 73, 104], [183, 55, 121],
  [140, 41, 129], [101, 26, 128], [60, 15, 113], [21, 14, 55], [0, 0, 4]];
const LOGO = 60, GAP = 6, LEFT = 90 + LOGO + GAP, TOP = LOGO + GAP + 8, RIGHT = 90, BOTTOM = 50;
const n = data.sequence.length;
const dependencies = floats(data.dependencies);
const heights = floats(data.heights);
const across = new BaseAxis(n), down = new BaseAxis(n);
const high = data.height_limits[1];
const picture = document.createElement("canvas");
paint();

function paint() {
  picture.width = picture.height = n;
  const image = new ImageData(n, n);
  dependencies.forEach((value, i) => image.data.set([...colorAt(COLORS, value / data.limit), 255], 4 * i));
  picture.getContext("2d").putImageData(image, 0, 0);
}

function draw() {
  const side = Math.max(300, Math.min(document.body.clientWidth - LEFT - RIGHT, 1000));
  resize(LEFT + side + RIGHT, TOP + side + BOTTOM);
  across.place(LEFT, side);
  down.place(TOP, side);
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, across.first, down.first, across.shown, down.shown, LEFT, TOP, side, side);
  drawLogo(across, LEFT, TOP - GAP, side);
  context.save();
  // Turned, so that bases run down and letters grow to the left.
  context.translate(LEFT - GAP, TOP);
  context.rotate(-Math.PI / 2);
  context.scale(-1, 1);
  drawLogo(down, 0, 0, side);
  context.restore();
  context.save();
  context.translate(LEFT - GAP - LOGO - 8, TOP);
  context.rotate(Math.PI / 2);
  context.translate(-TOP, 0);
  drawTicks(down, 4, side / 90);
  context.restore();
  drawTicks(across, TOP + side, side / 90);
  context.textAlign = "center";
  context.fillText("base whose prediction changes", LEFT + side / 2, TOP + side + 26);
  context.save();
  context.translate(14, TOP + side / 2);
  context.rotate(-Math.PI / 2);
  context.fillText("base that is mutated", 0, 0);
  context.restore();
  drawColorBar(COLORS, 0, data.limit, "dependency (|log2 odds ratio|)", LEFT + side + 14, TOP, Math.min(220, side));
}

function drawLogo(axis, start, bottom, length) {
  context.save();
  context.beginPath();
  context.rect(start, bottom - LOGO, length, LOGO + 1);
  context.clip();
  for (let base = Math.floor(axis.first); base < Math.min(n, axis.first + axis.shown); base++) {
    const left = start + (base - axis.first) * axis.scale;
    drawColumn(heights.subarray(4 * base, 4 * base + 4), left, bottom, axis.scale, LOGO / high);
  }
  context.restore();
}

function describe(x, y) {
  const column = Math.floor(across.toBase(x)), row = Math.floor(down.toBase(y));
  const inside = x >= LEFT && y >= TOP && x <= LEFT + across.length && y <= TOP + down.length;
  if (!inside || column >= n || row >= n) return "";
  const name = (base) => `${(data.first + base).toLocaleString("en")} ${data.sequence[base]}`;
  const value = dependencies[row * n + column];
  return `mutated  ${name(row)}\naffected ${name(column)}\ndependency ${Number.isNaN(value) ? "-" : value.toFixed(3)}`;
}

interact([across, down], draw, describe);
