// The heat map over the player: dark means that nothing there makes it.

const STOPS = [[0, 136, 34, 106], [0.3, 190, 55, 84], [0.55, 227, 89, 51], [0.8, 249, 142, 8], [1, 252, 255, 164]];
const FAINTEST = 0.35;
const STRONGEST = 0.8;

const TABLE = (() => {
  const table = new Uint8ClampedArray(256 * 4); // level 0 stays clear
  for (let level = 1; level < 256; level += 1) {
    const at = (level - 1) / 254;
    const upper = STOPS.findIndex(([stop]) => stop >= at);
    const [b, a] = [STOPS[upper], STOPS[Math.max(0, upper - 1)]];
    const part = b[0] > a[0] ? (at - a[0]) / (b[0] - a[0]) : 1;
    for (let channel = 0; channel < 3; channel += 1) {
      table[4 * level + channel] = a[channel + 1] + part * (b[channel + 1] - a[channel + 1]);
    }
    table[4 * level + 3] = 255 * (FAINTEST + at * (STRONGEST - FAINTEST));
  }
  return table;
})();

export class HeatMap {
  constructor(canvas, video) {
    this.canvas = canvas;
    this.video = video;
    this.map = null;
    this.small = document.createElement("canvas");
  }

  show(map) {
    this.map = map;
    this.small.width = map.columns;
    this.small.height = map.rows;
    this.canvas.hidden = false;
    this.last = -1;
    this.paint();
  }

  hide() {
    this.map = null;
    this.canvas.hidden = true;
  }

  get lit() {
    return this.map !== null && this.map.levels.some((levels) => levels.some((level) => level > 0));
  }

  // Called whenever the picture may have changed.
  paint() {
    if (!this.map) return;
    const { times, levels, rows, columns } = this.map;
    const step = times.length > 1 ? times[1] - times[0] : 1;
    const now = this.video.currentTime;
    let at = times.findIndex((time, index) => now < (times[index + 1] ?? time + step));
    if (now < times[0] - step || now > times[times.length - 1] + step) at = -1; // outside of what was looked at
    if (at === this.last) return;
    this.last = at;
    const [width, height] = [16 * columns, 16 * rows];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (at < 0) return;
    const pixels = new ImageData(columns, rows);
    levels[at].forEach((level, cell) => pixels.data.set(TABLE.subarray(4 * level, 4 * level + 4), 4 * cell));
    this.small.getContext("2d").putImageData(pixels, 0, 0);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.small, 0, 0, width, height);
  }
}
