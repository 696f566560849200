"use strict";
// Maps are drawn as the overlay videos draw them: linear between cells and moments, one scale for the whole recording,
// and nothing at all below the threshold.
(() => {
  const data = JSON.parse(document.getElementById("looks-data").textContent);
  const MOST = 2, LOUD = 34, ROW = 9, FLOOR = -60;

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const tables = data.colors.map((hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16)));
  for (const shown of data.shown) {
    for (const query of shown.queries) {
      const view = new DataView(bytes(query.maps).buffer);
      query.levels = Float32Array.from({ length: view.byteLength / 2 }, (_, k) => view.getInt16(2 * k, true) / data.levels);
    }
    shown.seconds = shown.loudness.length * shown.step;
  }

  const make = (name, klass, ...inside) => {
    const made = document.createElement(name);
    if (klass) made.className = klass;
    made.append(...inside);
    return made;
  };
  const button = (klass, told, ...inside) => {
    const made = make("button", klass, ...inside);
    made.type = "button";
    if (told) made.setAttribute("aria-label", told);
    return made;
  };

  // The map [h * w] at a moment: linear between its neighbours in time.
  const at = (query, step, seconds) => {
    const [count, height, width] = query.shape, cells = height * width;
    const place = Math.min(Math.max(seconds / step, 0), count - 1), before = Math.floor(place);
    const after = Math.min(before + 1, count - 1), weight = place - before;
    const first = query.levels.subarray(before * cells, (before + 1) * cells);
    const second = query.levels.subarray(after * cells, (after + 1) * cells);
    return weight === 0 ? first : first.map((level, k) => level + weight * (second[k] - level));
  };
  // For each pixel: the cell before it and the weight of the one after.
  const neighbours = (cells, pixels) => Array.from({ length: pixels }, (_, k) => {
    const place = Math.min(Math.max((k + 0.5) * cells / pixels - 0.5, 0), cells - 1), before = Math.floor(place);
    return [before, Math.min(before + 1, cells - 1), place - before];
  });
  const opacity = (level) => data.faintest + (data.strongest - data.faintest) * level;

  const root = make("div", "looks");
  const clips = make("div", "looks-clips"), stage = make("div", "looks-stage"), video = make("video");
  const over = make("canvas"), side = make("div", "looks-side"), title = make("h3"), note = make("p", "soft");
  const queries = make("div", "looks-queries"), scales = make("div"), told = make("p", "looks-told");
  const play = button("looks-play", "play"), strip = make("canvas", "looks-strip");
  const hint = make("p", "soft");
  video.playsInline = true;
  video.loop = true;
  video.preload = "auto";
  stage.append(video, over);
  side.append(title, note, queries, hint, scales, told);
  root.append(clips, make("div", "looks-main", stage, side), make("div", "looks-bar", play, strip));
  strip.tabIndex = 0;
  strip.setAttribute("role", "slider");
  strip.setAttribute("aria-label", "moment");
  let shown = data.shown[0], chosen = [0];

  // One query has the scale of many colors, two have a hue each.
  const hue = (place) => (chosen.length === 1 ? 0 : 1 + place);

  const draw = () => {
    const now = video.currentTime, height = over.height, width = over.width;
    const context = over.getContext("2d"), picture = context.createImageData(width, height);
    const layers = chosen.map((index, place) => {
      const query = shown.queries[index];
      return { query, place, cells: at(query, shown.step, now), rows: neighbours(query.shape[1], height),
               columns: neighbours(query.shape[2], width), table: tables[hue(place)], lit: 0 };
    });
    const live = layers.filter((layer) => layer.cells.some((level) => level >= 0));
    for (let y = 0; y < height && live.length; y++) {
      for (let x = 0; x < width; x++) {
        let seen = 1, weight = 0, red = 0, green = 0, blue = 0;
        for (const { query, cells, rows, columns, table } of live) {
          const across = query.shape[2], [above, below, down] = rows[y], [left, right, along] = columns[x];
          const top = cells[above * across + left], bottom = cells[above * across + right];
          const one = top + down * (cells[below * across + left] - top);
          const two = bottom + down * (cells[below * across + right] - bottom);
          const level = one + along * (two - one);
          if (level < 0) continue;
          const clipped = Math.min(level, 1), share = opacity(clipped), color = 3 * Math.round(255 * clipped);
          seen *= 1 - share;
          weight += share;
          red += share * table[color];
          green += share * table[color + 1];
          blue += share * table[color + 2];
        }
        if (weight > 0) {
          picture.data.set([red / weight, green / weight, blue / weight, 255 * (1 - seen)], 4 * (y * width + x));
        }
      }
    }
    context.putImageData(picture, 0, 0);
    const parts = layers.map(({ query, cells }) => {
      const highest = Math.max(...cells), area = cells.filter((level) => level >= 0).length / cells.length;
      const score = query.threshold + highest * (query.ceiling - query.threshold);
      const share = area < 0.005 ? "< 1" : Math.round(100 * area);
      return `${query.name}: ${highest < 0 ? "dark" : `lit ${share} %`}, highest score ${score.toFixed(2)}`;
    });
    told.replaceChildren(`${(shown.start + now).toFixed(2)} s`, ...parts.flatMap((part) => [make("br"), part]));
    strip.setAttribute("aria-valuenow", now.toFixed(2));
    mark(now);
  };

  let below = null; // the strip without the present moment
  const lay = () => {
    const ratio = window.devicePixelRatio || 1, width = Math.max(1, Math.round(strip.clientWidth * ratio));
    const rows = chosen.length, height = Math.round((LOUD + 4 + rows * (ROW + 2)) * ratio);
    strip.width = width;
    strip.height = height;
    strip.style.height = `${height / ratio}px`;
    const context = strip.getContext("2d");
    const count = shown.loudness.length, edge = (k) => Math.round(k * width / count);
    context.fillStyle = "#96a0af";
    shown.loudness.forEach((level, k) => {
      const high = (1 - level / FLOOR) * LOUD * ratio;
      context.fillRect(edge(k), LOUD * ratio - high, Math.max(1, edge(k + 1) - edge(k)), high);
    });
    chosen.forEach((index, place) => {
      const query = shown.queries[index], cells = query.shape[1] * query.shape[2], table = tables[hue(place)];
      for (let k = 0; k < count; k++) {
        const highest = Math.max(...query.levels.subarray(k * cells, (k + 1) * cells));
        const color = 3 * Math.round(255 * Math.min(Math.max(highest, 0), 1));
        context.fillStyle = highest < 0 ? "#3e3e46" : `rgb(${table[color]} ${table[color + 1]} ${table[color + 2]})`;
        const left = edge(k), top = (LOUD + 4 + place * (ROW + 2)) * ratio;
        context.fillRect(left, top, Math.max(1, edge(k + 1) - left), ROW * ratio);
      }
    });
    below = context.getImageData(0, 0, width, height);
  };
  const mark = (now) => {
    if (!below) return;
    const context = strip.getContext("2d"), ratio = window.devicePixelRatio || 1;
    context.putImageData(below, 0, 0);
    context.fillStyle = "#fff";
    context.fillRect(Math.min(now / shown.seconds, 1) * (strip.width - 2 * ratio), 0, 2 * ratio, strip.height);
  };

  const legend = () => {
    scales.replaceChildren(...chosen.map((index, place) => {
      const query = shown.queries[index], bar = make("canvas");
      bar.width = 256;
      bar.height = 1;
      const context = bar.getContext("2d"), line = context.createImageData(256, 1), table = tables[hue(place)];
      for (let k = 0; k < 256; k++) line.data.set([...table.subarray(3 * k, 3 * k + 3), 255], 4 * k);
      context.putImageData(line, 0, 0);
      const row = make("div", "looks-scale", query.threshold.toFixed(2), bar, query.ceiling.toFixed(2));
      row.title = `dark below ${query.threshold.toFixed(3)}: ${query.chosen}`;
      return row;
    }));
    [...queries.children].forEach((made, index) => {
      const place = chosen.indexOf(index);
      made.setAttribute("aria-pressed", place >= 0);
      made.querySelector("i").style.background =
        place < 0 ? "none" : chosen.length === 1 ? "linear-gradient(90deg, #781c6d, #ed6925, #fcffa4)" : data.lines[1 + place];
    });
  };
  const choose = (index) => {
    if (chosen.includes(index)) chosen = chosen.length > 1 ? chosen.filter((other) => other !== index) : chosen;
    else chosen = [...chosen, index].slice(-MOST);
    legend();
    lay();
    draw();
  };

  const open = (next) => {
    shown = next;
    chosen = [0];
    title.textContent = shown.title;
    note.textContent = shown.note;
    queries.replaceChildren(...shown.queries.map((query, index) => {
      const made = button("", "", make("i"), query.name);
      made.title = `dark below ${query.threshold.toFixed(3)}: ${query.chosen}`;
      made.addEventListener("click", () => choose(index));
      return made;
    }));
    [...clips.children].forEach((made, index) => made.setAttribute("aria-pressed", data.shown[index] === shown));
    hint.textContent = shown.queries.length > 1 ? "Choose one query, or two to see each in its own color. " : "";
    hint.textContent += "Space plays, arrows step.";
    strip.setAttribute("aria-valuemin", "0");
    strip.setAttribute("aria-valuemax", shown.seconds.toFixed(2));
    video.poster = shown.poster;
    video.src = shown.video;
    legend();
    lay();
  };

  const step = () => {
    draw();
    if (!video.paused) requestAnimationFrame(step);
  };
  const toggle = () => (video.paused ? video.play() : video.pause());
  const seek = (seconds) => {
    video.currentTime = Math.min(Math.max(seconds, 0), Math.max(shown.seconds - 0.01, 0));
  };
  video.addEventListener("loadedmetadata", () => {
    over.width = video.videoWidth;
    over.height = video.videoHeight;
    // begin where the first query is strongest: a dark first picture tells nothing
    const query = shown.queries[0], cells = query.shape[1] * query.shape[2];
    seek(shown.step * Math.floor(query.levels.indexOf(Math.max(...query.levels)) / cells));
    draw();
  });
  for (const name of ["seeked", "loadeddata"]) video.addEventListener(name, draw);
  video.addEventListener("play", () => {
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "pause");
    step();
  });
  video.addEventListener("pause", () => {
    play.textContent = "▶";
    play.setAttribute("aria-label", "play");
    draw();
  });
  play.textContent = "▶";
  play.addEventListener("click", toggle);
  stage.addEventListener("click", toggle);
  const drag = (event) => {
    const box = strip.getBoundingClientRect();
    seek((event.clientX - box.left) / box.width * shown.seconds);
  };
  strip.addEventListener("pointerdown", (event) => {
    strip.setPointerCapture(event.pointerId);
    video.pause();
    drag(event);
  });
  strip.addEventListener("pointermove", (event) => event.buttons && drag(event));
  root.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      video.pause();
      seek(video.currentTime + (event.key === "ArrowRight" ? shown.step : -shown.step));
    } else if (event.key === " " && event.target.tagName !== "BUTTON") toggle();
    else return;
    event.preventDefault();
  });
  window.addEventListener("resize", () => {
    lay();
    mark(video.currentTime);
  });

  for (const each of data.shown) {
    const still = make("img");
    still.src = each.poster;
    still.alt = "";
    const made = button("", "", still, make("span", "", each.title));
    made.title = each.title;
    made.addEventListener("click", () => open(each));
    clips.append(made);
  }
  clips.hidden = data.shown.length < 2;
  document.getElementById("looks").replaceChildren(root);
  open(shown);
})();
