// The list of moments: a picture, when it is, how well it fits, and what is said there.
import { $, clock, el, marked, within } from "./dom.js";
import { still } from "./stills.js";

const ALIKE = 0.02;
const BADGES = { video: "picture", image: "image", audio: "sound", text: "words" };

export class Results {
  // choose(place, play): a person chose a moment
  constructor(choose) {
    this.choose = choose;
    this.moments = [];
    this.place = -1;
    this.leave = new AbortController();
    this.seen = new IntersectionObserver((entries) => this.draw(entries), { rootMargin: "300px" });
  }

  show(moments, asked, keep = 0) {
    if (!keep) {
      this.leave.abort();
      this.leave = new AbortController();
      this.seen.disconnect();
      this.place = -1;
      this.shape = 0;
      $("results").replaceChildren();
    }
    this.moments = moments;
    const best = Math.max(...moments.map(rank), 1e-9);
    moments.slice(keep).forEach((moment, index) => $("results").append(this.card(moment, keep + index, asked, best)));
  }

  card(moment, place, asked, best) {
    const picture = el("span", { className: "still" }, el("span", { className: "badge" }, BADGES[moment.modality] ?? moment.modality));
    const when = el("span", { className: "when" }, `${clock(moment.start)} – ${clock(moment.end)}`);
    const title = el("span", { className: "title" }, when);
    const card = el("button", { type: "button", className: "card" }, picture, title);
    if (moment.score !== null) {
      title.append(el("span", { className: "score", title: moment.calibrated === null ? "how well it fits: the cosine with what was asked" : "how well it fits: standard deviations above what is unrelated" }, rank(moment).toFixed(2)));
      const bar = el("span", { className: "bar" });
      bar.style.setProperty("--part", `${Math.round(100 * Math.max(0, Math.min(1, rank(moment) / best)))}%`);
      card.append(bar);
    }
    card.append(el("span", { className: "name", title: moment.recording }, moment.name));
    card.append(el("span", { className: "said" }, ...words(moment, asked)));
    card.onclick = () => this.choose(place, true);
    const item = el("li", {}, card);
    item.moment = moment;
    this.seen.observe(item);
    return item;
  }

  async draw(entries) {
    const signal = this.leave.signal;
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      this.seen.unobserve(target);
      const holder = target.querySelector(".still");
      still(target.moment, signal).then((canvas) => {
        if (signal.aborted) return;
        if (canvas) {
          const own = el("canvas", { width: canvas.width, height: canvas.height, ariaHidden: "true" });
          own.getContext("2d").drawImage(canvas, 0, 0);
          outline(own, target.moment.box);
          holder.prepend(own);
          // All cards take the shape of the first picture; one of another shape stands whole in it.
          const shape = own.width / own.height;
          if (!this.shape) $("results").style.setProperty("--shape", (this.shape = Math.max(1, Math.min(16 / 9, shape))));
          own.classList.toggle("whole", Math.abs(shape / this.shape - 1) > ALIKE);
        } else holder.classList.add(target.moment.type.startsWith("audio/") ? "sound" : "blank");
      });
    }
  }

  select(place, scroll) {
    this.place = place;
    [...$("results").children].forEach((item, index) => {
      item.firstChild.toggleAttribute("aria-current", index === place);
      if (index === place && scroll) item.scrollIntoView({ block: "nearest", behavior: "smooth" });
    });
  }
}

// The box of what was asked for, light inside dark, so that it shows on any picture.
function outline(canvas, box) {
  if (!box) return;
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  const edges = [box.left * width, box.top * height, (box.right - box.left) * width, (box.bottom - box.top) * height];
  const thick = Math.max(1, Math.round(width / 120));
  for (const [color, line] of [["#000b", 3 * thick], ["#ffb454", thick]]) {
    context.strokeStyle = color;
    context.lineWidth = line;
    context.strokeRect(...edges);
  }
}

const rank = (moment) => moment.calibrated ?? moment.score ?? 0;

function words(moment, asked) {
  const inside = moment.said.filter((phrase) => within(phrase, moment));
  if (!inside.length) return moment.narration ? marked(moment.narration, asked) : [el("i", {}, "nothing is said here")];
  return inside.flatMap((phrase, index) => [index ? " · " : "", el("span", { className: "lit" }, ...marked(phrase.text, asked))]);
}
