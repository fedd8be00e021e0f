// A sequence logo over a heat map of all substitutions.
const COLORS = [[103, 0, 31], [178, 24, 43], [214, 96, 77], [244, 165, 130], [253, 219, 199], [247, 247, 247],
  [209, 229, 240], [146, 197, 222], [67, 147, 195], [33, 102, 172], [5, 48, 97]];
const LEFT = 50, RIGHT = 90, TOP = 30, LOGO = 150, GAP = 6, CELL = 28;
const effects = floats(data.effects);
const heights = floats(data.heights);
const logProbabilities = data.log_probabilities === null ? null : floats(data.log_probabilities);
const axis = new BaseAxis(data.sequence.length);
const [low, high] = data.height_limits;

function draw() {
  const width = Math.max(400, document.body.clientWidth);
  resize(width, TOP + LOGO + GAP + 4 * CELL + 30);
  axis.place(LEFT, width - LEFT - RIGHT);
  axis.move(0);
  const mapTop = TOP + LOGO + GAP;
  const up = LOGO / (high - low);
  context.save();
  context.beginPath();
  context.rect(LEFT, 0, axis.length, mapTop + 4 * CELL);
  context.clip();
  for (let base = Math.floor(axis.first); base < Math.min(axis.n, axis.first + axis.shown); base++) {
    const x = axis.toPixel(base);
    drawColumn(heights.subarray(4 * base, 4 * base + 4), x, TOP + high * up, axis.scale, up);
    for (let row = 0; row < 4; row++) {
      const y = mapTop + row * CELL;
      const color = colorAt(COLORS, (effects[4 * base + row] / data.limit + 1) / 2);
      context.fillStyle = `rgb(${color})`;
      // A little wider, so that no seams are seen.
      context.fillRect(x, y, axis.scale + 0.6, CELL);
      if (data.sequence[base] === BASES[row] && axis.scale > 4) drawReference(BASES[row], x, y);
    }
  }
  context.restore();
  drawLabels(mapTop);
  drawTicks(axis, mapTop + 4 * CELL, axis.length / 90);
  drawScaleBar();
  drawColorBar(COLORS, -data.limit, data.limit, data.effect_name, LEFT + axis.length + 12, mapTop - 60, 4 * CELL + 60);
}

function drawReference(base, x, y) {
  context.fillStyle = "#333";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.font = `${Math.min(13, axis.scale)}px sans-serif`;
  context.fillText(base, x + axis.scale / 2, y + CELL / 2);
}

function drawLabels(mapTop) {
  context.fillStyle = "#222";
  context.font = "12px sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  [...BASES].forEach((base, row) => context.fillText(base, LEFT - 6, mapTop + (row + 0.5) * CELL));
  context.font = "11px sans-serif";
  context.fillText(high.toPrecision(2), LEFT - 6, TOP);
  context.fillText(low === 0 ? "0" : low.toPrecision(2), LEFT - 6, TOP + LOGO - 4);
  context.save();
  context.translate(10, TOP + LOGO / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText(data.unit, 0, 0);
  context.restore();
  context.fillRect(LEFT - 1, TOP, 1, LOGO);
}

function drawScaleBar() {
  const n = roundStep(axis.shown, 12);
  const right = LEFT + axis.length;
  context.fillStyle = "#222";
  context.fillRect(right - n * axis.scale, 20, n * axis.scale, 2);
  context.font = "11px sans-serif";
  context.textAlign = "right";
  context.textBaseline = "bottom";
  context.fillText(`${n} bp`, right, 18);
}

function describe(x, y) {
  const base = Math.floor(axis.toBase(x));
  if (x < LEFT || base < 0 || base >= axis.n || x > LEFT + axis.length) return "";
  const lines = [`${data.contig}:${(data.first + base).toLocaleString("en")}  ${data.sequence[base]}`];
  [...BASES].forEach((letter, row) => {
    const effect = effects[4 * base + row];
    const probability = logProbabilities ? `  p ${Math.exp(logProbabilities[4 * base + row]).toFixed(3)}` : "";
    lines.push(`${letter}  ${Number.isNaN(effect) ? "-" : effect.toFixed(3).padStart(7)}${probability}`);
  });
  if (data.entropy_bits) lines.push(`entropy ${data.entropy_bits[base].toFixed(3)} bits`);
  return lines.join("\n");
}

interact([axis], draw, describe);
